"""The quickest form in which a game works on this machine: captured, compiled, or plain."""

from __future__ import annotations

from collections.abc import Callable

import torch

from facegen import console
from facegen.errors import EnvironmentProblem, FacegenError
from facegen.training.capture import capture, why_not
from facegen.training.recipe import Recipe
from facegen.training.step import Figures, Game

#: Takes the number of a step and plays it.
Step = Callable[[int], Figures]


def open_game(
    build: Callable[[Recipe], Game], recipe: Recipe, first: int, *, world: int, must_compile: bool
) -> tuple[Game, Step]:
    """The game of a recipe, and what plays its steps from number ``first`` on.

    The compiler and the capture are asked for by the recipe, and are no more than wishes: where one of them fails,
    which shows in a rehearsal, one sentence says so and the game is played without it.

    Args:
        build: makes the game, in the state that it goes on from.
        world: ranks that play it together.
        must_compile: somebody asked for the compiler by hand, so it must work.

    Raises:
        EnvironmentProblem: the compiler fails, and must not.
    """
    game = build(recipe)
    if recipe.compile:
        console.info("Compiling the step, which takes a minute or more.")
        try:
            rehearse(game, first)
        except (FacegenError, torch.cuda.OutOfMemoryError):
            raise
        except Exception as problem:
            # A compiler fails in any way there is. What is not its fault, the plain game raises too.
            failed = compiler_failed(problem)
            if must_compile:
                raise failed from problem
            console.warn(f"{failed.message} Training goes on without it.")
            recipe = recipe.with_overrides({"compile": False})
            game = build(recipe)
    if recipe.cuda_graphs:
        reason = why_not(game, world)
        if reason is None:
            try:
                return game, capture(game, first)
            except Exception as problem:  # noqa: BLE001 - as above
                # A recording that an error breaks off complains of that itself.
                cause = problem.__context__ or problem
                console.warn(
                    f"A step cannot be captured as a CUDA graph on this machine: {_first_line(cause)} "
                    "Training goes on without it."
                )
                torch.cuda.synchronize(game.device)
                game = build(recipe)
        elif game.device.type == "cuda":
            console.detail(f"Steps are not captured as CUDA graphs: {reason}.")
    return game, game


def compiler_failed(problem: Exception) -> EnvironmentProblem:
    """What the compiler threw, in a sentence with its remedy."""
    return EnvironmentProblem(
        f"torch.compile does not work on this machine: {_first_line(problem)}", "Use --no-compile."
    )


def rehearse(game: Game, first: int) -> None:
    """Play a step of each kind, from number ``first`` on, so that all is compiled; the game is as it was afterwards."""
    with game.rehearsal():
        for step in range(first, first + game.recipe.penalty_every):
            game(step)
        game.read_figures()  # waits for the device, which fails later than it was asked


def _first_line(problem: BaseException) -> str:
    text = str(problem).strip()
    line = text.splitlines()[0].rstrip(".") if text else type(problem).__name__
    return f"{line}."
