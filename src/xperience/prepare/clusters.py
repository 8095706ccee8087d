"""A cross-check of the categories by the texts alone: TF-IDF and k-means with a fixed seed."""

from collections import Counter
from collections.abc import Sequence

from xperience.prepare.content import AuditRow, Clusters
from xperience.selection.document import SPLITS

TERMS_SHOWN = 5


def cluster(rows: Sequence[AuditRow], *, count: int, seed: int) -> tuple[list[int | None], Clusters | None]:
    """Cluster number of each row (None without text), numbered by size; and what the clusters say.

    The text is main task and subtasks. None where there are fewer than two distinct texts.
    """
    from sklearn.cluster import KMeans
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.metrics import adjusted_mutual_info_score

    texts = [" . ".join([row.main_task, *row.subtasks]).strip(" .") for row in rows]
    with_text = [number for number, text in enumerate(texts) if text]
    distinct = len({texts[number] for number in with_text})
    if min(count, distinct) < 2:
        return [None] * len(rows), None
    vectorizer = TfidfVectorizer(stop_words="english", sublinear_tf=True)
    try:
        weights = vectorizer.fit_transform([texts[number] for number in with_text])
    except ValueError:  # nothing but stop words
        return [None] * len(rows), None
    model = KMeans(n_clusters=min(count, distinct), random_state=seed, n_init=10, algorithm="lloyd")
    found = [int(label) for label in model.fit_predict(weights)]
    sizes = Counter(found)
    first = {label: found.index(label) for label in sizes}
    order = sorted(sizes, key=lambda label: (-sizes[label], first[label]))
    numbers: list[int | None] = [None] * len(rows)
    for number, label in zip(with_text, found, strict=True):
        numbers[number] = order.index(label)
    names = vectorizer.get_feature_names_out()
    terms = []
    for label in order:
        heaviest = sorted(range(len(names)), key=lambda term: (-round(model.cluster_centers_[label][term], 9), term))
        terms.append([str(names[term]) for term in heaviest[:TERMS_SHOWN]])
    split_counts = {
        split: [sum(numbers[n] == place for n in with_text if rows[n].split == split) for place in range(len(order))]
        for split in SPLITS
    }
    agreement = adjusted_mutual_info_score([rows[number].category for number in with_text], found)
    return numbers, Clusters(
        count=len(order),
        seed=seed,
        agreement=round(float(agreement), 4),
        terms=terms,
        split_counts=split_counts,
        largest_share={
            split: round(max(counts) / sum(counts), 6) for split, counts in split_counts.items() if sum(counts)
        },
    )
