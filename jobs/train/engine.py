"""Run the Trainer under the program contract: ranks, progress, errors."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch.distributed as dist
from transformers import PrinterCallback
from transformers.utils import logging

from jobs.train.disk import writing
from jobs.train.edge import StepEdge
from jobs.train.ranks import check_ranks
from jobs.train.trainer import SftTrainer
from sftjobs.canonical import readable
from sftjobs.errors import PeerError, SftError
from sftjobs.gpu_faults import is_cuda_error, is_of_the_machine
from sftjobs.program import Program, Stopped


def train(program: Program, trainer: SftTrainer, edge: StepEdge) -> None:
    """Do the steps that are left, with the looks at the dev set.

    Raises Stopped if asked to stop, DataError on a loss that is not a number and on a training that went wrong.
    """
    check_ranks(trainer.accelerator.num_processes, program.world_size, "found each other")
    if edge.asked_to_stop():
        raise Stopped("before the first step of this attempt")
    if program.rank == 0 and trainer.parallel.settings is not None:
        with writing(program.info, "deepspeed.json"):
            (program.info / "deepspeed.json").write_bytes(readable(trainer.parallel.settings))
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(edge)
    if not edge.over or trainer.parallel.restores_late:
        trainer.train()
    # Of a training that was stopped after its last step, only this look is left.
    if not edge.look_if_due():
        raise Stopped(f"before the look after step {edge.step}")
    edge.check_kept()


@contextmanager
def infrastructure_errors() -> Iterator[None]:
    """Errors of communication between ranks become PeerError, those of a GPU itself SftError.

    Another attempt may succeed. Other errors of CUDA are passed on, whoever noticed them: they are the program's.
    """
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if is_of_the_machine(text):
            raise SftError(f"the GPU failed: {text}") from error
        if not is_cuda_error(text) and (isinstance(error, dist.DistError) or "gloo" in text.lower()):
            raise PeerError(f"communication between ranks failed: {text}") from error
        raise


def quiet() -> None:
    """No progress bars of libraries in the log: progress goes through the program contract."""
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.set_verbosity_warning()  # type: ignore[no-untyped-call]
