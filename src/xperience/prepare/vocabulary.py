"""What a main task is about: a vocabulary of whole words, objects before activities.

A term stands for its inflections (`bead`: beads, beading; `stock`: stocking, stocked) and for nothing else: no term is
found inside another word, so `stool` is no tool and `remove` no move. An object counts 2, an activity 1, each once;
the category with the most wins, among equals the one whose term comes first in the text.
"""

import re
from dataclasses import dataclass

UNCATEGORISED = "uncategorised"
UNPARSED = "unparsed"
UNKNOWN = (UNCATEGORISED, UNPARSED)

# Category: objects, activities, and which of the plan's eight it belongs to.
_VOCABULARY: dict[str, tuple[str, str, str]] = {
    "paper_and_cardboard": (
        "paper cardboard carton origami envelope sticker tape glue scissors craft collage card notebook leaflet foil",
        "fold crease staple", "object_manipulation",
    ),
    "retail_and_shelving": (
        "shelf shelves supermarket store shop merchandise product checkout cashier price inventory aisle retail "
        "warehouse grocery pallet barcode",
        "stock restock display", "shopping_and_retail",
    ),
    "small_parts_sorting": (
        "bead button screw nut bolt washer coin pin gem pebble peg sequin rivet bearing marble",
        "sort string", "object_manipulation",
    ),
    "assembly_and_repair": (
        "tool toolbox screwdriver drill wrench hammer furniture circuit wire cable machine device electronics computer "
        "bicycle engine motor battery plug socket saw pliers",
        "assemble disassemble repair fix install solder weld mount", "tool_or_device_use",
    ),
    "packing_and_storage": (
        "box bag luggage suitcase parcel package drawer container crate basket bin cabinet wardrobe backpack",
        "pack unpack wrap organize organise arrange tidy store", "packing_and_organizing",
    ),
    "food_and_drink": (
        "food meal coffee tea vegetable fruit salad bread cake dough egg meat rice noodle soup juice cup bowl plate "
        "pan pot kitchen knife bottle drink sandwich dumpling cookie",
        "cook bake boil fry chop slice peel eat brew pour", "food_and_drink",
    ),
    "cleaning_and_housework": (
        "dish laundry trash garbage rubbish floor window sink bed mop broom vacuum detergent dust",
        "clean wash wipe sweep scrub rinse iron", "cleaning_and_housework",
    ),
    "clothing_and_textile": (
        "fabric cloth clothes shirt thread yarn needle garment sock towel trousers jacket textile wool zipper",
        "sew knit crochet embroider weave dress", "dressing_and_hygiene",
    ),
    "personal_care": (
        "makeup hair skin nail teeth comb face lipstick razor", "shave groom brush massage", "dressing_and_hygiene",
    ),
    "plants_and_garden": (
        "plant garden soil flower seed leaf tree bouquet vase weed", "prune dig harvest", "object_manipulation",
    ),
    "drawing_and_writing": (
        "pencil pen calligraphy canvas crayon brush letter portrait", "draw paint write sketch colour color",
        "object_manipulation",
    ),
    "office_and_study": (
        "book document keyboard laptop phone desk printer homework file magazine", "read type print study scan",
        "tool_or_device_use",
    ),
    "play_and_sport": (
        "game puzzle lego block toy ball chess dice piano guitar jigsaw", "play stack juggle exercise",
        "object_manipulation",
    ),
    "movement_and_travel": (
        "stair street car bus train door corridor escalator elevator road", "walk drive ride climb run cross",
        "navigation_and_locomotion",
    ),
    "people_and_animals": ("dog cat pet baby child patient bird fish", "feed nurse", "object_manipulation"),
}  # fmt: skip
CATEGORIES = tuple(_VOCABULARY)


def stem(word: str) -> str:
    """A word without the endings of plural, -ing and -ed, and without a silent e: packaging and packages are packag."""
    if word.endswith("ies") and len(word) > 4:
        word = word[:-3] + "y"
    elif word.endswith(("sses", "shes", "ches", "xes", "zes")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3:
        word = word[:-1]
    for ending in ("ing", "ed"):
        if word.endswith(ending) and len(word) > len(ending) + 2:
            word = word[: -len(ending)]
            if len(word) > 2 and word[-1] == word[-2] and word[-1] not in "ls":
                word = word[:-1]
            break
    return word.removesuffix("e") if len(word) > 3 else word


@dataclass(frozen=True, slots=True)
class _Category:
    name: str
    weights: dict[str, int]


_TABLE = tuple(
    _Category(name, {stem(term): 1 for term in activities.split()} | {stem(term): 2 for term in objects.split()})
    for name, (objects, activities, _) in _VOCABULARY.items()
)


def category_of(text: str) -> str:
    """The category of a main task; `uncategorised` where no term is in it."""
    places: dict[str, int] = {}
    for place, word in enumerate(re.findall(r"[a-z]+", text.lower())):
        places.setdefault(stem(word), place)
    best: tuple[int, int, str] | None = None
    for category in _TABLE:
        found = [term for term in category.weights if term in places]
        if not found:
            continue
        entry = (-sum(category.weights[term] for term in found), min(places[term] for term in found), category.name)
        best = entry if best is None else min(best, entry)
    return best[2] if best else UNCATEGORISED


def eight_of(category: str) -> str:
    """The plan's category, of its eight, that a category of ours belongs to."""
    known = _VOCABULARY.get(category)
    return known[2] if known else {UNCATEGORISED: "uncategorized"}.get(category, category)
