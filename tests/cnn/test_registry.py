"""What holds for every registered network, whichever it is."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

import facegen.cnn
from facegen.cnn.architecture import CLASSIFIER, DISCRIMINATOR, FILTER, ROLES, Architecture
from facegen.cnn.classifier import Classifier
from facegen.cnn.registry import ARCHITECTURES, find_architecture

BuildSmall = Callable[..., tuple[nn.Module, tuple[int, ...]]]

every = pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES)
CLASSIFIERS = {name: each for name, each in ARCHITECTURES.items() if each.role in (CLASSIFIER, DISCRIMINATOR)}
#: Of a family that differs in depth alone, the shallow ones with each kind of block are run; all are built.
DEEPER = re.compile(r"vgg(13|16|19)(_bn)?|(preact_)?resnet(34|101|152|32|44|56|110)|plain56|densenet(161|169|201)")
SHALLOW = {name: each for name, each in CLASSIFIERS.items() if not DEEPER.fullmatch(name)}
every_classifier = pytest.mark.parametrize("architecture", CLASSIFIERS.values(), ids=CLASSIFIERS)

#: What ``facegen inspect --list`` prints at least, from the oldest; architectures of one paper in its table's order.
PROMISED = [
    "lenet5", "alexnet", "vgg11", "vgg13", "vgg16", "vgg19", "vgg16_bn", "googlenet", "inception_v3",
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "preact_resnet18", "densenet121", "densenet169",
    "textcnn", "c3d", "efficientnet_lite0", "dcgan_generator", "dcgan_discriminator",
    "sngan_generator", "sngan_discriminator", "self_modulated_generator", "r3gan_generator", "r3gan_discriminator",
    "r3gan_small_generator", "r3gan_small_discriminator",
]  # fmt: skip


@pytest.mark.parametrize("name", PROMISED)
def test_promised_names_are_there(name: str) -> None:
    assert find_architecture(name).name == name


def test_order_is_as_promised() -> None:
    assert [name for name in ARCHITECTURES if name in PROMISED] == PROMISED


def test_every_modules_architectures_are_registered_under_names_of_their_own() -> None:
    names = {module.name for module in pkgutil.iter_modules(facegen.cnn.__path__)} - {"registry"}
    modules = [importlib.import_module(f"facegen.cnn.{name}") for name in names]
    defined = [architecture.name for module in modules for architecture in getattr(module, "ARCHITECTURES", ())]
    assert sorted(defined) == sorted(ARCHITECTURES)


def test_a_misspelt_name_is_an_error_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"no architecture is called 'resnet19': did you mean 'resnet1\d+'\?"):
        find_architecture("resnet19")


def test_a_name_like_no_other_is_an_error_with_the_list() -> None:
    with pytest.raises(ValueError, match=r"'xyzzy'; there are lenet5, .*, vgg16, "):
        find_architecture("xyzzy")


def network_class(architecture: Architecture) -> type[nn.Module]:
    build = architecture.build
    made = build.func if isinstance(build, partial) else build
    assert isinstance(made, type)
    return made


@every
def test_role_is_known(architecture: Architecture) -> None:
    assert architecture.role in ROLES


@every
def test_docstring_and_source_name_the_paper(architecture: Architecture) -> None:
    if architecture.role != FILTER:
        paper = r"arXiv:\d{4}\.\d{4,5}|[(,] ?(?:[A-Z]+ )?(?:19|20)\d\d\b"
        assert re.search(paper, architecture.source)
        assert re.search(paper, inspect.getdoc(network_class(architecture)) or "")


@every
def test_options_are_keywords_only(architecture: Architecture) -> None:
    kinds = {parameter.kind for parameter in inspect.signature(architecture.build).parameters.values()}
    assert kinds <= {inspect.Parameter.KEYWORD_ONLY}


@every_classifier
def test_options_that_all_classifiers_take(architecture: Architecture) -> None:
    wanted = {"classes", "in_channels", "width"} | ({"size"} if len(architecture.input) > 1 else set())
    assert wanted <= set(inspect.signature(architecture.build).parameters)


@pytest.fixture(scope="module", params=ARCHITECTURES.values(), ids=ARCHITECTURES)
def published(request: pytest.FixtureRequest) -> tuple[Architecture, nn.Module]:
    """An architecture and its network as published, on the meta device, which knows shapes only."""
    with torch.device("meta"):
        return request.param, request.param.build().eval()


def test_takes_its_published_input(published: tuple[Architecture, nn.Module]) -> None:
    architecture, network = published
    with torch.device("meta"):
        y = network(architecture.random_input(2))
    assert y.shape[0] == 2
    if architecture.name in CLASSIFIERS:
        assert y.shape == (2, inspect.signature(architecture.build).parameters["classes"].default)


def test_state_dict_with_own_names_passes_conversion_unharmed(published: tuple[Architecture, nn.Module]) -> None:
    architecture, network = published
    state_dict = network.state_dict()
    converted = architecture.convert(state_dict)
    assert list(converted) == list(state_dict)
    assert all(converted[key] is tensor for key, tensor in state_dict.items())


@pytest.fixture(scope="module", params=SHALLOW.values(), ids=SHALLOW)
def narrow(request: pytest.FixtureRequest, build_small: BuildSmall) -> tuple[nn.Module, Tensor]:
    """A classifier of seven classes and two input channels, and an input."""
    network, shape = build_small(request.param, classes=7, in_channels=2)
    return network.eval(), request.param.random_input(2, shape)


def test_any_number_of_classes_and_input_channels(narrow: tuple[nn.Module, Tensor]) -> None:
    network, x = narrow
    with torch.inference_mode():
        assert network(x).shape == (2, 7)


def test_features_pool_and_classifier_are_the_whole_network(narrow: tuple[nn.Module, Tensor]) -> None:
    network, x = narrow
    assert isinstance(network, Classifier)
    with torch.inference_mode():
        vectors = network.pool(network.features(x))
        assert vectors.ndim == 2
        assert torch.equal(network.classifier(vectors), network(x))
