"""Mutation testing of the modules that decide: ``python -m tests.mutation plan load``.

The mutations are mutmut's, and one more: a call whose value is not used is left out. Its runner is
not used: it puts a function of its own around each of ours, which moves the line that a warning
shows, and passes over everything decorated, every property among it. Here the tests are collected
once; then, for each mutant, a forked process puts the mutated code into the functions that are
there already and runs the tests that reach the function until one fails, the fastest first.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import importlib
import os
import pickle
import resource
import signal
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import libcst as cst
import libcst.matchers as m
import pytest
from libcst.metadata import MetadataWrapper, ParentNodeProvider
from mutmut.mutation.mutators import mutation_operators

TESTS = Path(__file__).parent
MODULES = {
    "plan": ["test_plan.py"],
    "load": ["test_load.py", "test_tracing.py"],
    "intensity": ["test_intensity.py"],
    "crop": ["test_crop.py"],
    "layout": ["test_layout.py"],
}
USERS = ["test_stack.py", "test_tiff.py", "test_tracing.py"]
MEMORY = 6 << 30


@dataclass(frozen=True)
class Mutant:
    """One change of one module's text."""

    name: str
    source: str
    function: str | None  # None: of the module itself
    change: str


def is_constant(name: str) -> bool:
    """Return whether a name of a module is that of a number or a text, not of a type."""
    return name.isupper()


def mutants_of(name: str, source: str) -> Iterator[Mutant]:
    """Yield every mutant of a module's functions and of its constants."""
    wrapper = MetadataWrapper(cst.parse_module(source))
    parents = wrapper.resolve(ParentNodeProvider)
    counts: Counter[str] = Counter()
    seen = {source}

    def place(node: cst.CSTNode) -> str | None:
        """Return the outermost function that a node is in, "" for a constant, None for neither."""
        names: list[str] = []
        inner = node
        constant = False
        while node in parents:
            inner, node = node, parents[node]
            if isinstance(node, cst.Annotation | cst.Decorator) or isinstance(
                inner, cst.Annotation | cst.Decorator
            ):
                return None
            if isinstance(node, cst.FunctionDef):
                if inner is node.name or inner is node.returns:
                    return None
                names = [node.name.value]
            elif isinstance(node, cst.ClassDef):
                if not names:
                    return None
                names.insert(0, node.name.value)
            constant |= m.matches(
                node, m.Assign([m.AssignTarget(m.Name(m.MatchIfTrue(is_constant)))])
            )
        return ".".join(names) if names else "" if constant else None

    def operators(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
        if isinstance(node, cst.Expr) and isinstance(node.value, cst.Call):
            yield cst.Pass()
        for kind, operator in mutation_operators:
            if isinstance(node, kind):
                yield from operator(node)

    def walk(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
        yield node
        for child in node.children:
            yield from walk(child)

    for node in walk(wrapper.module):
        function = place(node)
        if function is None:
            continue
        if isinstance(node, cst.SimpleString) and isinstance(parents[node], cst.Expr):
            continue  # a docstring
        for changed in operators(node):
            mutated = wrapper.module.deep_replace(node, changed).code
            if mutated in seen:
                continue
            seen.add(mutated)
            counts[function] += 1
            lines = difflib.unified_diff(
                source.splitlines(), mutated.splitlines(), lineterm="", n=0
            )
            yield Mutant(
                f"{name}.{function or '<module>'}:{counts[function]}",
                mutated,
                function or None,
                "\n".join(line for line in lines if not line.startswith(("---", "+++"))),
            )


def functions_of(names: dict[str, Any], filename: str) -> dict[str, FunctionType]:
    """Return the functions of a module by their qualified name, through what decorates them."""
    found: dict[str, FunctionType] = {}

    def look(value: Any) -> None:
        if isinstance(value, type):
            if "starfish_fetch" in value.__module__:
                for member in list(vars(value).values()):
                    look(member)
            return
        for attribute in ("fget", "__func__", "func", "__wrapped__"):
            value = getattr(value, attribute, None) or value
        if isinstance(value, FunctionType) and value.__code__.co_filename == filename:
            found[value.__qualname__] = value

    for value in list(names.values()):
        look(value)
    return found


def within(code: CodeType) -> Iterator[CodeType]:
    """Yield a code and those of the functions inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from within(constant)


def apply(module: ModuleType, mutant: Mutant) -> None:
    """Put a mutant's code into the functions of the module that is imported."""
    names: dict[str, Any] = {"__name__": module.__name__, "__file__": module.__file__}
    exec(compile(mutant.source, str(module.__file__), "exec"), names)
    if mutant.function is None:
        for name, value in names.items():
            if is_constant(name):
                setattr(module, name, value)
        return
    live = functions_of(vars(module), str(module.__file__))[mutant.function]
    new = functions_of(names, str(module.__file__))[mutant.function]
    live.__code__ = new.__code__
    live.__defaults__ = new.__defaults__
    live.__kwdefaults__ = new.__kwdefaults__
    for value in vars(module).values():  # functools.cache
        if hasattr(value, "cache_clear"):
            value.cache_clear()


def in_fork(work: Callable[[], Any]) -> tuple[int, Any]:
    """Run something in a process of its own; return its status, and what it returned."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        status = 3
        try:
            os.setsid()
            os.close(read)
            null = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(null, stream)
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            data = pickle.dumps(work())
            with os.fdopen(write, "wb") as stream:
                stream.write(data)
            status = 0
        finally:
            os._exit(status)
    os.close(write)
    with os.fdopen(read, "rb") as stream:
        data = stream.read()
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    return status, pickle.loads(data) if status == 0 else None


class Session:
    """The plugin that runs the mutants instead of the tests."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.survivors: list[Mutant] = []

    def run(self, items: list[pytest.Item], seconds: dict[str, float] | None) -> str | None:
        """Run tests until one fails; return its name."""
        from _pytest.runner import runtestprotocol

        for item, following in zip_longest(items, items[1:]):
            if seconds is not None:
                signal.setitimer(signal.ITIMER_REAL, 20 + 20 * seconds[item.nodeid])
            reports = runtestprotocol(item, nextitem=following, log=False)
            if any(report.failed for report in reports):
                return item.nodeid
        return None

    def trace(
        self, items: list[pytest.Item], codes: dict[CodeType, str]
    ) -> tuple[dict[str, set[str]], dict[str, float], list[str]]:
        """Return which tests reach which function, how long each takes, and which fail."""
        reached: dict[str, set[str]] = defaultdict(set)
        seconds: dict[str, float] = {}
        failed = []
        entered: set[CodeType] = set()

        def profile(frame: Any, event: str, _: Any) -> None:
            if event == "call":
                entered.add(frame.f_code)

        for item in items:
            entered.clear()
            threading.setprofile(profile)
            sys.setprofile(profile)
            start = time.perf_counter()
            if self.run([item], None):
                failed.append(item.nodeid)
            seconds[item.nodeid] = time.perf_counter() - start
            sys.setprofile(None)
            for code in entered & codes.keys():
                reached[codes[code]].add(item.nodeid)
        return reached, seconds, failed

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        for name in self.arguments.modules:
            self.test_module(name, session.items)
        return True

    def test_module(self, name: str, items: list[pytest.Item]) -> None:
        module = importlib.import_module(f"starfish_fetch.{name}")
        path = Path(str(module.__file__))
        files = {TESTS / test for test in MODULES[name]}
        if self.arguments.wide:
            files |= {TESTS / test for test in USERS}
        items = [item for item in items if item.path in files]
        functions = functions_of(vars(module), str(path))
        codes = {code: n for n, f in functions.items() for code in within(f.__code__)}
        status, traced = in_fork(lambda: self.trace(items, codes))
        if status:
            raise RuntimeError(f"the tests ended with the status {status}")
        reached, seconds, failed = traced
        if failed:
            raise RuntimeError(f"these tests fail without a mutation: {failed}")
        items.sort(key=lambda item: seconds[item.nodeid])

        counts: Counter[str] = Counter()
        begin = time.perf_counter()
        for mutant in mutants_of(name, path.read_text()):
            if self.arguments.only and mutant.name not in self.arguments.only:
                continue
            tests = reached.get(mutant.function, set()) if mutant.function else seconds.keys()
            chosen = [item for item in items if item.nodeid in tests]

            def test(mutant: Mutant = mutant, chosen: list[pytest.Item] = chosen) -> str | None:
                try:
                    apply(module, mutant)
                except Exception as error:
                    return f"not importable: {error!r}"
                return self.run(chosen, seconds)

            status, failed = in_fork(test)
            outcome = "killed" if failed else "survived"
            if status:
                outcome = "timed out" if status == signal.SIGALRM else "died"
            counts[outcome] += 1
            if outcome == "survived":
                self.survivors.append(mutant)
            if outcome != "killed" or self.arguments.verbose:
                print(f"{mutant.name} {outcome} {failed or ''}\n{mutant.change}\n", flush=True)
        total = counts.total()
        killed = total - counts["survived"]
        print(
            f"{name}: {killed} of {total} mutants killed ({killed / max(total, 1):.1%}); "
            f"{dict(counts)}; {time.perf_counter() - begin:.0f} s\n",
            flush=True,
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", default=list(MODULES), choices=MODULES)
    parser.add_argument("--wide", action="store_true", help="run the tests of their users, too")
    parser.add_argument("--only", nargs="*", help="mutants by name, as printed")
    parser.add_argument("--verbose", action="store_true", help="print every mutant")
    arguments = parser.parse_args()
    os.environ["HYPOTHESIS_PROFILE"] = "mutation"
    plugin = Session(arguments)
    files = {file for name in arguments.modules for file in MODULES[name]}
    files |= set(USERS if arguments.wide else ())
    paths = [str(TESTS / file) for file in sorted(files)]
    options = ["-q", "-s", "-p", "no:xdist", "-p", "no:cacheprovider"]
    status = pytest.main([*options, *paths], plugins=[plugin])
    return int(status) or bool(plugin.survivors)


if __name__ == "__main__":
    sys.exit(main())
