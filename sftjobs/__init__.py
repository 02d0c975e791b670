"""Supervised fine-tuning of language models as batch jobs: what the controller, the CLI and the stages share.

This package never imports torch, transformers or datasets; `docs/architecture.md` says where everything is.
"""

__version__ = "0.1.0"
