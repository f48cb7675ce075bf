"""What TFX's Tuner calls: transformed examples in, the search for the Trainer's settings out."""

from __future__ import annotations

from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.components.tuner.component import TunerFnResult

from components.trainer.fit import fit
from components.trainer.run import build_model, check, decide_size, read_training_data
from components.trainer.settings import TrainerSettings
from components.tuner.search import Search
from components.tuner.settings import TunerSettings


def tuner_fn(fn_args: FnArgs) -> TunerFnResult:
    """The search over the data of the Trainer.

    Args:
        fn_args: TFX's; `custom_config` holds `settings`, the `TrainerSettings` as they stand, and `tuner`, the
            `TunerSettings`, as dicts.

    Raises:
        StepError: the data is too small for the settings.
    """
    trainer = TrainerSettings(**fn_args.custom_config["settings"])
    data = read_training_data(fn_args)
    trainer = decide_size(trainer, data)
    check(trainer, data)

    def recall(settings: TrainerSettings) -> float:
        return fit(build_model(settings, data), data.train, data.holdout).best_recall

    search = Search(
        TunerSettings(**fn_args.custom_config["tuner"]),
        trainer,
        recall,
        fn_args.working_dir,
    )
    return TunerFnResult(tuner=search, fit_kwargs={})
