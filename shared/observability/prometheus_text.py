"""Parser of metrics in Prometheus's text format."""

from collections import defaultdict
from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

Samples = Mapping[tuple[str, str], float]
"""Values of metrics by the metric's name and the relevant label, summed over other labels."""


def read_samples(text: str, labels: Mapping[str, str]) -> Samples:
    """Parse the metrics named in `labels`, each with the label by which its values are summed. Raises `ValueError`."""
    found: dict[tuple[str, str], float] = defaultdict(float)
    for family in text_string_to_metric_families(text):
        if (label := labels.get(family.name)) is not None:
            for sample in family.samples:
                if not sample.name.endswith("_created"):
                    found[family.name, sample.labels.get(label, "")] += sample.value
    return found
