import xperience.hub.pace
from xperience.hub.pace import Pace


def test_no_five_minutes_see_more_than_the_share(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(xperience.hub.pace.time, "monotonic", lambda: clock[0])
    pace, made = Pace(5), []
    for _ in range(40):
        made.append(clock[0] + pace.take())
        clock[0] += 7.0
    for moment in made:
        assert sum(moment <= other < moment + 300.0 for other in made) <= 5
    assert made[:5] == [1000.0 + 7.0 * number for number in range(5)]
    assert made[5] == 1300.0
