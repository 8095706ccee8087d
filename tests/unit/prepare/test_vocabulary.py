import pytest

from xperience.prepare.vocabulary import CATEGORIES, category_of, eight_of, stem

EIGHT = {
    "food_and_drink", "dressing_and_hygiene", "packing_and_organizing", "shopping_and_retail",
    "cleaning_and_housework", "navigation_and_locomotion", "tool_or_device_use", "object_manipulation",
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "category"),
    [
        pytest.param("Folding cardboard cartons", "paper_and_cardboard", id="craft"),
        pytest.param("Restocking shelves in a shop", "retail_and_shelving", id="shop"),
        pytest.param("Sorting screws at a bench", "small_parts_sorting", id="parts"),
        pytest.param("Sorting cups at a table", "food_and_drink", id="an-object-before-an-activity"),
        pytest.param("Packing a suitcase", "packing_and_storage", id="packing"),
        pytest.param("Repairing a bicycle", "assembly_and_repair", id="repair"),
        pytest.param("MAKING COFFEE", "food_and_drink", id="capitals"),
        pytest.param("Moving a stool to the workshop", "uncategorised", id="no-tool-in-stool-no-shop-in-workshop"),
        pytest.param("Removing and restoring", "uncategorised", id="no-move-in-remove-no-store-in-restore"),
        pytest.param("Picking up and placing things", "uncategorised", id="moving-things-is-no-topic"),
        pytest.param("", "uncategorised", id="empty"),
    ],
)
def test_the_category_of_a_main_task(text, category):
    assert category_of(text) == category


@pytest.mark.parametrize(
    ("word", "same"),
    [("beads", "bead"), ("stocking", "stock"), ("wrapped", "wrap"), ("packages", "packaging"), ("boxes", "box"),
     ("slices", "slicing"), ("toys", "toy"), ("batteries", "battery"), ("filing", "files")],
)  # fmt: skip
def test_inflections_are_one_word(word, same):
    assert stem(word) == stem(same)


def test_every_category_belongs_to_one_of_the_plans_eight():
    assert {eight_of(category) for category in CATEGORIES} == EIGHT
    assert eight_of("uncategorised") == "uncategorized"
