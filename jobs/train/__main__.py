"""The train stage: load data, render, order, open the model, resume, train, export."""

import gc

import torch.distributed as dist

from jobs.lm.device import planned_device
from jobs.lm.positions import check_positions
from jobs.lm.prefix import Layouts
from jobs.lm.render import Renderer, load_tokenizer
from jobs.train import checkpoint
from jobs.train.arguments import training_arguments
from jobs.train.computing import Computing
from jobs.train.determinism import make_repeatable
from jobs.train.dev import DevSet
from jobs.train.disk import writing
from jobs.train.edge import StepEdge
from jobs.train.engine import infrastructure_errors, quiet, train
from jobs.train.examples import TrainingSet, read_training_set
from jobs.train.export import ADAPTER, MODEL, export
from jobs.train.memory import Memory
from jobs.train.methods import METHODS
from jobs.train.model import open_for_training, parameter_counts
from jobs.train.parallel import parallel_of
from jobs.train.ranks import check_ranks
from jobs.train.recheck import Recheck
from jobs.train.steps import Steps
from jobs.train.summary import Stopwatch, counts, report
from jobs.train.trackers import check_trackers, open_trackers
from jobs.train.trainer import SftTrainer
from sftjobs.errors import DataError
from sftjobs.phases import Phase
from sftjobs.plan.configs import TrainConfig
from sftjobs.plan.sampler import Mixture, Order
from sftjobs.program import Program, main


def run(program: Program) -> None:
    """Train as the plan says; leaves `model/` or `adapter/` or both, counts and the report section of the stage."""
    train_and_export(program)
    if dist.is_initialized():
        # DDP's reducer must be gone first. If it is the last to hold a gloo group, the group is closed while Python's
        # lock is held, for which a thread of gloo that has just finished the last sum may wait: neither goes on.
        gc.collect()
        dist.destroy_process_group()


def train_and_export(program: Program) -> None:
    """`run` up to the point where ranks part."""
    config = TrainConfig.model_validate(program.plan.config)
    check_trackers(program.plan.operation.report_to)
    check_ranks(program.world_size, config.world_size, "were started")
    parallel = parallel_of(config)
    program.doing(Phase.LOAD, 0)
    header = checkpoint.read_header(program.resume, program, parallel.name) if program.resume else None
    planned_device(config.device, program.local_rank)
    make_repeatable(config.seed, config.threads_per_process)
    quiet()
    watch = Stopwatch()

    with watch("read and render"):
        base = program.input("model")
        renderer = Renderer(load_tokenizer(base))
        train_file, mixture = program.input("data") / "train.jsonl", Mixture.of(config.mixture)
        examples = read_training_set(train_file, renderer, config.max_tokens, mixture)
        order = training_order(config, examples)
        dev = DevSet(program, config, config.dev, renderer) if config.dev else None
    memory = Memory(program, config)
    with watch("open the model"), infrastructure_errors(), memory():
        program.progress("load", 0, config.steps, unit="steps")
        patience_s = program.plan.operation.hang_after_s
        arguments = training_arguments(config, program.output, parallel.settings, patience_s)
        model = parallel.open(lambda: open_for_training(base, config))
        longest = max(examples.lengths + (dev.examples.lengths if dev else []))
        check_positions(model.config, longest, config.prompt_learning.virtual_tokens if config.prompt_learning else 0)
        parameters = parameter_counts(model)
        if program.resume:
            parallel.load_weights(program.resume, model)

    with watch("train"), infrastructure_errors(), memory():
        pad_id = pad_token(renderer)
        method = METHODS[config.method]
        layouts = Layouts(model.config, pad_id, config.packing, method.virtual_rows(config), config.attention)
        memory.knows(model, model.config, layouts, examples)
        steps = Steps(examples, order, layouts, config, program.rank, pad_id)
        first = header.step if header else 0
        trainer = memory.trainer = SftTrainer(
            model,
            arguments,
            steps,
            first,
            method.optimizer(model, config),
            lambda optimizer: method.schedule(optimizer, config),
            parallel,
            program.doing,
            Computing.of(config),
        )
        edge = StepEdge(program, config, trainer, layouts, dev, open_trackers(program), header)
        train(program, trainer, edge)

    with watch("export"), infrastructure_errors(), memory():
        program.progress("export", edge.step, config.steps, unit="steps")
        program.doing(Phase.EXPORT, edge.step)
        recheck = Recheck.on(examples)
        weights = parallel.weights(model)
        if program.rank == 0:
            model = parallel.whole(model, weights, base)
            edge.keeper.restore(model, edge.step)
            with writing(program.content, "the tuned model"):
                export(model, base, renderer.stop_ids, program.content, recheck)
                if renderer.warning is not None:  # the model has to be served with what it was trained with
                    template = program.content / (MODEL if method.merges else ADAPTER) / "chat_template.jinja"
                    template.write_text(renderer.tokenizer.get_chat_template(), encoding="utf-8")
    counted = counts(examples, order, edge, parameters, renderer.template_hash)
    program.write_counts(counted)
    section = report(program, config, counted, examples, edge, layouts, watch)
    program.write_report(program.plan.stage, {**section, "export": recheck.section(renderer.tokenizer)})


def training_order(config: TrainConfig, examples: TrainingSet) -> Order:
    """The order over the examples. Raises DataError if it gives fewer steps than the plan has."""
    order = Order(
        examples.tasks,
        Mixture.of(config.mixture),
        global_batch=config.global_batch,
        seed=config.seed,
        lengths=examples.lengths if config.group_by_length else None,
    )
    if order.steps < config.steps:
        raise DataError(
            f"train.jsonl gives {order.steps} steps over all epochs, the plan has {config.steps}: "
            "the data is not what was planned with; plan the run again"
        )
    return order


def pad_token(renderer: Renderer) -> int:
    """Any id will do: padding is masked by position, never by id."""
    pad_id = renderer.tokenizer.pad_token_id
    return 0 if pad_id is None else int(pad_id)


if __name__ == "__main__":
    main(run)
