"""The study file: loading, overriding, and what is said of its problems."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sweep.base.errors import StudyFileError
from sweep.schedules.schedule import SHAPES
from sweep.search.strategies.problems import search_problems
from sweep.study.fields.dimensions import default_own_dimensions
from sweep.study.file import load_study
from sweep.study.locations import shipped_studies
from sweep.study.registries.optimizers import OPTIMIZERS
from sweep.study.settings import StudyConfig

CYCLIC_MODES = default_own_dimensions("cyclic")["cyclic.mode"]
FORM = "expected 'LOW:HIGH', 'LOW:HIGH:log' or one number"
TPE_ARGUMENTS = (
    "consider_prior, prior_weight, consider_magic_clip, consider_endpoints, n_startup_trials, "
    "n_ei_candidates, seed, multivariate, group, warn_independent_sampling, constant_liar"
)


def load(folder: Path, text: str, **overrides: Any) -> StudyConfig:
    file = folder / "mine.toml"
    file.write_text(text, encoding="utf-8")
    given = {key.replace("__", "."): value for key, value in overrides.items()}
    return load_study(file, given, check=search_problems)


def problem(folder: Path, text: str, **overrides: Any) -> str:
    """The error's text, from behind the file's name on."""
    with pytest.raises(StudyFileError) as raised:
        load(folder, text, **overrides)
    start = f"{folder / 'mine.toml'}: "
    assert str(raised.value).startswith(start)
    return str(raised.value).removeprefix(start)


class TestLoad:
    def test_nothing_is_the_defaults(self) -> None:
        assert load_study(None) == StudyConfig()

    def test_an_empty_file_is_the_defaults(self, tmp_path: Path) -> None:
        assert load(tmp_path, "") == StudyConfig()

    def test_reads_every_section(self, tmp_path: Path) -> None:
        config = load(
            tmp_path,
            """
            trials = 5
            sampler = "random"
            [data]
            target = 4
            [model]
            hidden = [8]
            [space]
            scheduler = "step"
            lr = 0.1
            step.drops = "1:3"
            """,
        )
        assert (config.trials, config.sampler.name, config.data.target) == (5, "random", "4")
        assert config.model.hidden == [8]
        assert config.space.scheduler == ["step"]
        assert config.space.own == {"step.drops": "1:3"}
        assert config.space.lr.fixed

    @pytest.mark.parametrize("name", shipped_studies())
    def test_shipped_studies_are_valid_and_written_back(self, tmp_path: Path, name: str) -> None:
        config = load_study(shipped_studies()[name])
        assert load(tmp_path, config.to_toml()) == config

    def test_families_has_every_schedule(self) -> None:
        assert load_study(shipped_studies()["families"]).space.scheduler == list(SHAPES)

    def test_text_outside_ascii(self, tmp_path: Path) -> None:
        assert load(tmp_path, '[data]\ntarget = "größe"').data.target == "größe"


class TestFileProblems:
    def test_no_file(self, tmp_path: Path) -> None:
        file = tmp_path / "none.toml"
        with pytest.raises(StudyFileError) as raised:
            load_study(file)
        reason = f"[Errno 2] No such file or directory: '{file}'"
        assert str(raised.value) == f"{file}: cannot be read: {reason}"

    def test_no_toml(self, tmp_path: Path) -> None:
        expected = (
            "not valid TOML: Expected '=' after a key in a key/value pair (at line 2, column 7)"
        )
        assert problem(tmp_path, "trials = 3\nepochs: 3") == expected

    def test_no_text(self, tmp_path: Path) -> None:
        file = tmp_path / "mine.toml"
        file.write_bytes(b'objective = "\xff"')
        with pytest.raises(StudyFileError, match="cannot be read: 'utf-8' codec"):
            load_study(file)


class TestOverrides:
    def test_take_the_place_of_what_the_file_says(self, tmp_path: Path) -> None:
        config = load(
            tmp_path,
            "trials = 5\n[optimizer]\nbatch_size = 8\nclip = 1.0",
            trials=9,
            optimizer__batch_size="full",
            model__name="linear",
        )
        assert (config.trials, config.optimizer.batch_size) == (9, "full")
        assert (config.optimizer.clip, config.model.name) == (1.0, "linear")

    @pytest.mark.parametrize(
        "text", ["step.drops = 3", 'step = {drops = "1:2"}', '"step.drops" = 3']
    )
    def test_own_parameters_however_the_file_spells_them(self, tmp_path: Path, text: str) -> None:
        config = load(tmp_path, f"[space]\n{text}", space__step__drops=4)
        assert config.space.own == {"step.drops": 4}

    def test_a_name_beside_arguments(self, tmp_path: Path) -> None:
        config = load(tmp_path, "[sampler]\nn_startup_trials = 3", sampler__name="tpe")
        assert config.sampler.arguments == {"n_startup_trials": 3}

    def test_an_argument_beside_a_word(self, tmp_path: Path) -> None:
        config = load(tmp_path, 'sampler = "grid"', sampler__points=2)
        assert (config.sampler.name, config.sampler.arguments) == ("grid", {"points": 2})

    def test_a_key_beside_a_value_that_stands_for_its_table(self, tmp_path: Path) -> None:
        config = load(tmp_path, 'cluster = "auto"', cluster__workers=2)
        assert (config.cluster.address, config.cluster.workers) == ("auto", 2)
        assert load(tmp_path, 'cluster = "auto"', cluster__address="local").cluster.is_local
        config = load(tmp_path, "confirm = false", confirm__seeds=7)
        assert (config.confirm.enabled, config.confirm.seeds) == (False, 7)

    def test_problems_name_the_flag_and_not_the_file(self) -> None:
        with pytest.raises(StudyFileError) as raised:
            load_study(
                shipped_studies()["diabetes"],
                {"optimizer.batch_size": "ful", "space.decay": 3, "model.hidden": 4},
                {
                    "optimizer.batch_size": "--batch-size",
                    "space.decay": "--decay",
                    "model.hidden": "--set model.hidden",
                },
            )
        assert str(raised.value) == (
            "3 problems\n"
            "  --set model.hidden=4: expected a list\n"
            "  --batch-size 'ful': expected a whole number of at least 1, or \"full\", "
            "or a list of them\n"
            "  --decay '3': decay must be in (0, 1], but got decay=3.0"
        )

    def test_a_file_is_named_when_one_of_the_problems_is_in_it(self, tmp_path: Path) -> None:
        file = tmp_path / "mine.toml"
        file.write_text("epochs = 0")
        with pytest.raises(StudyFileError) as raised:
            load_study(file, {"trials": 0}, {"trials": "--trials"})
        assert str(raised.value) == (
            f"{file}: 2 problems\n"
            "  epochs = 0: must be at least 1\n"
            "  --trials 0: must be at least 1"
        )


class TestProblems:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("epochs = 0", "epochs = 0: must be at least 1"),
            ('epochs = "a"', "epochs = 'a': expected a whole number"),
            ("epochs = 2.5", "epochs = 2.5: expected a whole number"),
            ("epochs = true", "epochs = true: expected a whole number"),
            ("budget = inf", "budget = inf: expected a finite number"),
            ("confirm.share = inf", "confirm.share = inf: expected a finite number"),
            ('timeout = "inf"', "timeout = inf: expected a finite number"),
            ("seed = -1", "seed = -1: must be at least 0"),
            ("budget = inf", "budget = inf: expected a finite number"),
            ("confirm.share = inf", "confirm.share = inf: expected a finite number"),
            (
                "optimizer.weight_decay = nan",
                "optimizer.weight_decay = nan: expected a finite number",
            ),
            ("seed = 3000000000", "seed = 3000000000: must be less than 2147483648"),
            ("workers = 1000", "workers = 1000: must be at most 256"),
            ('objective = "bst"', "objective = 'bst': expected 'best', 'final' or 'averaged'"),
            (
                'device = "gpu"',
                "device = 'gpu': expected auto, cpu, cuda, cuda:<number> or cuda:<number>,<number>",
            ),
            ("storage = 3", "storage = 3: expected a text"),
            ("timeout = 0", "timeout = 0: must be greater than 0"),
            (
                'timeout = "10x"',
                "timeout = '10x': expected seconds, or a number with s, m or h: '10m'",
            ),
            ("epoch = 3", "epoch: unknown key; did you mean 'epochs'?"),
            ("xyz = 3", "xyz: unknown key"),
            (
                'track = {comet = "x"}',
                "track.comet: unknown key; expected tensorboard, mlflow, wandb",
            ),
            ("model = 3", "model = 3: expected a table"),
            ("sampler = 3", "sampler = 3: expected a name or a table"),
            ("pruner = []", "pruner = []: expected a name or a table"),
        ],
    )
    def test_study(self, tmp_path: Path, text: str, expected: str) -> None:
        assert problem(tmp_path, text) == expected

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ('sorce = "x"', "data.sorce: unknown key; did you mean 'source'?"),
            ("validation = 1", "data.validation = 1: must be less than 1"),
            (
                "validation = 0.6\ntest = 0.5",
                "data: validation and test together must leave rows to train on: "
                "0.6 + 0.5 is not below 1",
            ),
            ("users = 3", "data.users = 3: must be at least 10"),
            ('log1p = "x"', "data.log1p = 'x': expected true, false or a list of columns"),
            ("log1p = [3]", "data.log1p = [3]: expected true, false or a list of columns"),
            ('scale = "no"', "data.scale = 'no': expected true or false"),
            ('drop = "id"', "data.drop = 'id': expected a list"),
            ("target = 4.5", "data.target = 4.5: expected a text"),
            ('pivot = {index = "u"}', "data.pivot.columns: missing"),
            ('pivot = {index = 1, columns = "c"}', "data.pivot.index = 1: expected a text"),
            (
                'pivot = {indx = "u", index = "u", columns = "c"}',
                "data.pivot.indx: unknown key; did you mean 'index'?",
            ),
            (
                'columns = ["a", 2, 3]',
                "2 problems\n  data.columns.1 = 2: expected a text\n"
                "  data.columns.2 = 3: expected a text",
            ),
        ],
    )
    def test_data(self, tmp_path: Path, text: str, expected: str) -> None:
        assert problem(tmp_path, f"[data]\n{text}") == expected

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (
                '[model]\nname = "mpl"',
                "model.name = 'mpl': unknown model; did you mean 'mlp'? "
                "(order-pre, mlp, linear, or 'module:Class')",
            ),
            ("[model]\nhidden = 64", "model.hidden = 64: expected a list"),
            ("[model]\nhidden = [0]", "model.hidden.0 = 0: must be at least 1"),
            ("[model]\ndropout = 1", "model.dropout = 1: must be less than 1"),
            (
                '[optimizer]\nname = "sdg"',
                "optimizer.name = 'sdg': unknown optimizer; did you mean 'sgd'? "
                f"({', '.join(OPTIMIZERS)})",
            ),
            (
                "[optimizer]\nbatch_size = 0",
                'optimizer.batch_size = 0: expected a whole number of at least 1, or "full", '
                "or a list of them",
            ),
            (
                '[optimizer]\nname = "adam"\nmomentum = 0.9',
                "optimizer: momentum and nesterov belong to sgd, but name is 'adam'",
            ),
            (
                "[optimizer]\nnesterov = true",
                "optimizer.nesterov = true: needs a momentum above 0",
            ),
            (
                '[optimizer]\nnesterov = true\nmomentum = 0.9\n[space]\nmomentum = "0:0.9"',
                "optimizer.nesterov = true: needs a momentum above 0",
            ),
            (
                "[optimizer]\nbetas = [0.9, 1.5]",
                "optimizer.betas: expected two numbers of at least 0 and below 1",
            ),
            (
                "[optimizer]\nbetas = 0.9",
                "optimizer.betas = 0.9: expected two numbers of at least 0 and below 1",
            ),
            ("[optimizer]\nclip = 0", "optimizer.clip = 0: must be greater than 0"),
        ],
    )
    def test_model_and_optimizer(self, tmp_path: Path, text: str, expected: str) -> None:
        assert problem(tmp_path, text) == expected

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (
                'scheduler = "cosin"',
                "space.scheduler = 'cosin': unknown scheduler; did you mean 'cosine'? "
                f"({', '.join(SHAPES)})",
            ),
            ("scheduler = []", "space.scheduler = []: expected at least one entry"),
            ("scheduler = 3", "space.scheduler = 3: expected a list"),
            (
                'scheduler = ["rex", "rex"]',
                "space.scheduler = 'rex': named more than once",
            ),
            ('lr = "1:0.1"', "space.lr = '1:0.1': low must be at most high: write '0.1:1'"),
            ('lr = "0:1:log"', "space.lr = '0:1:log': a :log range must start above 0"),
            ('lr = "1e-3:1:lgo"', f"space.lr = '1e-3:1:lgo': {FORM}"),
            ("lr = [0.1, 0.1]", "space.lr = [0.1, 0.1]: a value stands in the list more than once"),
            ("lr = 0", "space.lr = '0': lr must be positive and finite, but got lr=0.0"),
            ('decay = "0:1"', "space.decay = '0:1': decay must be in (0, 1], but got decay=0.0"),
            (
                'warmup = "0:1"',
                "space.warmup = '0:1': warmup must be in [0, 1), but got warmup=1.0",
            ),
            ('momentum = "0:1"', "space.momentum = '0:1': must be at least 0 and below 1"),
            ('weight_decay = "-1:0"', "space.weight_decay = '-1:0': must be at least 0"),
            ("momentun = 0.1", "space.momentun: unknown key; did you mean 'momentum'?"),
            (
                'step.drops = "0:3"',
                "space.step.drops = '0:3': drops must be in [1, inf), but got drops=0",
            ),
            (
                'step.drops = "1.5:3"',
                "space.step.drops = '1.5:3': whole numbers are expected, but got '1.5:3'",
            ),
            (
                'scheduler = "step"\nstep.drop = 2',
                "space.step.drop = 2: no scheduler of this study has it; "
                "did you mean 'step.drops'? (step.drops)",
            ),
            (
                'scheduler = "step"\npolynomial.power = 2',
                "space.polynomial.power = 2: polynomial is not in space.scheduler",
            ),
            (
                'scheduler = "CosineAnnealingLR"',
                "space.scheduler = 'CosineAnnealingLR': unknown scheduler; torch's "
                "CosineAnnealingLR is cosine here",
            ),
            (
                "T_max = 30",
                "space.T_max: unknown key; T_max: every schedule here spans the whole training, "
                "whose length is epochs",
            ),
            (
                'warmup = "100:500"',
                "space.warmup = '100:500': warmup must be in [0, 1), but got warmup=100.0; it is "
                "a share of all steps: 100 of 2000 are 0.05",
            ),
            (
                'scheduler = "step"\nown.step_size = 30',
                "space.step_size = 30: no scheduler of this study has it; step_size is drops "
                "here, how often the rate drops: step.drops = epochs / step_size - 1 (step.drops)",
            ),
            (
                'scheduler = "rex"\npolynomial.power = 2',
                "space.polynomial.power = 2: polynomial is not in space.scheduler",
            ),
            (
                'scheduler = "cyclic"\ncyclic.mode = "tri"',
                f"space.cyclic.mode = 'tri': expected some of {CYCLIC_MODES}",
            ),
            (
                'momentum = 0.9\n[optimizer]\nname = "adam"',
                "space.momentum = '0.9': adam has no momentum; sgd has",
            ),
        ],
    )
    def test_space(self, tmp_path: Path, text: str, expected: str) -> None:
        assert problem(tmp_path, f"[space]\n{text}") == expected

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (
                'sampler = "tpee"',
                "sampler.name = 'tpee': unknown sampler; did you mean 'tpe'? "
                "(auto, family, tpe, random, grid, qmc, cmaes, gp)",
            ),
            (
                'sampler = {name = "tpe", n_startup = 3}',
                "sampler.n_startup: TPESampler has no such argument; "
                f"did you mean 'n_startup_trials'? ({TPE_ARGUMENTS})",
            ),
            (
                'fair = true\nsampler = "tpe"',
                "fair = true: needs sampler 'family' or 'random', but tpe models all schedulers "
                "together",
            ),
            (
                "fair = true\ntrials = 2",
                "trials = 2: fair needs one for each of 7 schedulers",
            ),
            (
                'fair = true\nsampler = "grid"',
                "fair = true: needs sampler 'family' or 'random', but grid gives each its points",
            ),
            (
                'sampler = {name = "grid", points = 0}',
                "sampler.points: expected a whole number of at least 1, got 0",
            ),
            (
                'pruner = "threshold"',
                "pruner: threshold needs 'lower', 'upper' or both, in target units²",
            ),
        ],
    )
    def test_sampler_and_pruner(self, tmp_path: Path, text: str, expected: str) -> None:
        assert problem(tmp_path, text) == expected

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (
                "[custom.rex]\nfactory = 'a:b'",
                "custom.rex = 'rex': a built-in scheduler has this name; choose another",
            ),
            (
                "[custom.'a.b']\nfactory = 'a:b'",
                "custom.a.b = 'a.b': a scheduler's name is a word of letters, digits and _",
            ),
            (
                "[custom.mine]\nfactory = 'a; b:c'",
                "custom.mine.factory = 'a; b:c': expected 'module:function'",
            ),
            (
                '[custom.mine]\nfactory = "a\\nb.py:c"',
                "custom.mine.factory = 'a\\nb.py:c': expected 'module:function'",
            ),
            (
                "[custom.mine]\nfactory = 'a:b'\nparams = {'k=1' = 1}",
                "custom.mine.params.k=1: 'k=1' cannot be the name of a custom schedule's parameter",
            ),
            (
                "[custom.mine]\nfactory = 'a'",
                "custom.mine.factory = 'a': expected 'module:function'",
            ),
            ("[custom.mine]\nparams = {k = 1}", "custom.mine.factory: missing"),
            ("[custom.boolean]\nfactory = 3", "custom.boolean.factory = 3: expected a text"),
            (
                "[custom.mine]\nfactory = 'a:b'\nparms = {}",
                "custom.mine.parms: unknown key; did you mean 'params'?",
            ),
            (
                "[custom.mine]\nfactory = 'a:b'\nparams = {k = '2:1'}",
                "custom.mine.params.k = '2:1': low must be at most high: write '1:2'",
            ),
            (
                "[custom.mine]\nfactory = 'a:b'\nparams = {k = '1:2'}\n"
                "[space]\nscheduler = 'mine'\nmine.k = '2:1'",
                "space.mine.k = '2:1': low must be at most high: write '1:2'",
            ),
        ],
    )
    def test_custom(self, tmp_path: Path, text: str, expected: str) -> None:
        assert problem(tmp_path, text) == expected

    def test_all_are_reported_together(self, tmp_path: Path) -> None:
        """Those of the settings' types, those between settings, and those that Optuna finds."""
        text = """
            epochs = 0
            trails = 3
            sampler = {name = "grid", point = 3}
            pruner = {name = "percentile", percentile = 120}
            [data]
            validation = 0.6
            test = 0.5
            [optimizer]
            name = "adm"
            [space]
            scheduler = ["step", "cosin"]
            lr = "1:0"
            decay = "0:1"
            step.drops = 0
            """
        assert problem(tmp_path, text) == (
            "10 problems\n"
            "  epochs = 0: must be at least 1\n"
            "  data: validation and test together must leave rows to train on: "
            "0.6 + 0.5 is not below 1\n"
            "  optimizer.name = 'adm': unknown optimizer; did you mean 'adam'? "
            f"({', '.join(OPTIMIZERS)})\n"
            "  space.lr = '1:0': low must be at most high: write '0:1'\n"
            "  trails: unknown key; did you mean 'trials'?\n"
            "  space.scheduler = 'cosin': unknown scheduler; did you mean 'cosine'? "
            f"({', '.join(SHAPES)})\n"
            "  space.decay = '0:1': decay must be in (0, 1], but got decay=0.0\n"
            "  space.step.drops = 0: drops must be in [1, inf), but got drops=0\n"
            "  sampler.point: the grid has one argument: points\n"
            "  pruner: PercentilePruner refuses {'percentile': 120}: Percentile must be between "
            "0 and 100 inclusive, but got percentile=120."
        )
