from xperience.common.layout import ANNOTATION
from xperience.episode.annotation import Annotation
from xperience.episode.ranged import RangedFile
from xperience.prepare.look import Around, look_at_annotation
from xperience.standin.genuine import write_sparse_annotation

TIMESTAMPS = tuple(70_000_000_000_000 + 50_000_000 * frame for frame in range(1500))


class Counted:
    """A local file as a source of ranges; one call is a round trip."""

    def __init__(self, path):
        self.path, self.size_bytes, self.calls, self.ranges = path, path.stat().st_size, 0, []

    def read_ranges(self, ranges):
        self.calls += 1
        self.ranges += ranges
        contents = []
        with self.path.open("rb") as file:
            for start, stop in ranges:
                file.seek(start)
                contents.append(file.read(stop - start))
        return contents


def test_an_annotation_elsewhere_is_looked_at_in_few_rounds_with_the_same_facts(tmp_path):
    """Its tables lie in eleven places; one after the other that was as many round trips."""
    path = tmp_path / ANNOTATION
    write_sparse_annotation(path, TIMESTAMPS, seed=3)
    source = Counted(path)
    file = RangedFile(source)
    with Annotation.open(file) as annotation:
        elsewhere = look_at_annotation(annotation, Around(lambda _name: None, file, sampled=True))
    with Annotation.open(path) as annotation:
        here = look_at_annotation(annotation, Around(lambda _name: None, sampled=True))
    assert elsewhere == here
    assert elsewhere.faults == ()
    assert source.calls <= 6
    assert len(source.ranges) <= 40
    assert sum(stop - start for start, stop in source.ranges) < 1_000_000


def test_damage_is_the_same_fault_whether_a_file_is_here_or_elsewhere(tmp_path):
    path = tmp_path / ANNOTATION
    write_sparse_annotation(path, TIMESTAMPS[:200], seed=3)
    content = bytearray(path.read_bytes())
    for place in range(content.index(b"SNOD", 4000), len(content), 4096):
        content[place : place + 64] = bytes(64)
    path.write_bytes(content)
    file = RangedFile(Counted(path))
    with Annotation.open(file) as annotation:
        elsewhere = look_at_annotation(annotation, Around(lambda _name: None, file, sampled=True))
    with Annotation.open(path) as annotation:
        here = look_at_annotation(annotation, Around(lambda _name: None, sampled=True))
    assert elsewhere == here
    assert here.faults or here.missing
