"""Words that occur together: the label that a question speaks for, answers that do not go with their question."""

from jobs.data.cooccurrence.answers import AnswerAssociation, answer_association
from jobs.data.cooccurrence.labels import LabelMargins, label_margins

__all__ = ["AnswerAssociation", "LabelMargins", "answer_association", "label_margins"]
