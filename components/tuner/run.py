"""The entry point of TFX's Tuner: searches the Trainer's settings on transformed examples."""

from __future__ import annotations

from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.components.tuner.component import TunerFnResult

from components.trainer.decisions import check, decide_size
from components.trainer.fit import fit
from components.trainer.run import build_model
from components.trainer.settings import TrainerSettings
from components.trainer.training_data import read_training_data
from components.tuner.search import Search
from components.tuner.settings import TunerSettings


def tuner_fn(fn_args: FnArgs) -> TunerFnResult:
    """Returns the search, whose trials fit models on the Trainer's data.

    Args:
        fn_args: TFX's arguments of the step. `custom_config` holds `settings`, the configured `TrainerSettings`, and
            `tuner`, the `TunerSettings`, as dicts.

    Raises:
        StepError: the settings do not suit the data.
    """
    trainer = TrainerSettings(**fn_args.custom_config["settings"])
    data = read_training_data(fn_args)
    trainer = decide_size(trainer, data)
    check(trainer, data)

    def recall(settings: TrainerSettings) -> float:
        return fit(build_model(settings, data), data.train, data.holdout).best_recall

    search = Search(TunerSettings(**fn_args.custom_config["tuner"]), trainer, recall, fn_args.working_dir)
    return TunerFnResult(tuner=search, fit_kwargs={})
