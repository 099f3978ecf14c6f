"""Whatever is done with stacks, in any order: they are what plain arrays would be."""

import copy
import pickle
import tempfile
import threading
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pytest
from fetchers import ArrayFetcher, arguments, image
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from state_machines import counted, run_machine
from test_plan import expected_order

from starfish_fetch import CropParameters, DataFormatWarning, ImageStack, to_float32
from starfish_fetch.testing.strategies import group_bys, labels

AXES = "rczyx"
MOST_STACKS = 8


class Faulty(ArrayFetcher):
    """Fails for the tiles in ``faults`` at the step named there, so many times."""

    def __init__(self, array, labels, thread_safe=False, faults=()):
        super().__init__(array, labels)
        self.thread_safe = thread_safe
        self.faults = dict(faults)

    def __getstate__(self):
        own = {"thread_safe": self.thread_safe, "faults": self.faults}
        return {**super().__getstate__(), **own}

    def fail(self, step, key):
        with self.lock:
            at, times = self.faults.get(key, ("", 0))
            if at != step:
                return
            self.faults[key] = (at, times - 1)
            if times == 1:
                del self.faults[key]
        raise OSError(f"{step} of {key}")

    def get_tile(self, fov, *key):
        tile = super().get_tile(fov, *key)
        self.fail("get_tile", key)
        return tile

    def coordinates_of(self, key):
        self.fail("coordinates", key)
        return super().coordinates_of(key)

    def pixels_of(self, key):
        self.fail("tile_data", key)
        return super().pixels_of(key)


@dataclass
class Load:
    """What a load should have: shared by the copies of a stack, as its loader is."""

    fetcher: Faulty
    labels: list
    window: tuple
    group_by: tuple | None
    keeps_dtype: bool
    pixels: np.ndarray
    placed: set = field(default_factory=set)
    failed: set = field(default_factory=set)

    @property
    def order(self):
        return list(expected_order(*self.labels, self.group_by or ()))

    def place(self, key):
        self.placed.add(key)
        tile = ArrayFetcher.pixels_of(self.fetcher, key)[self.window]
        self.pixels[self.at(key)] = tile if self.keeps_dtype else to_float32(tile)

    def at(self, key):
        return tuple(axis.index(label) for axis, label in zip(self.labels, key, strict=True))

    def narrowed(self, labels, window):
        pixels = np.empty((*map(len, labels), *map(span, window)), self.pixels.dtype)
        return Load(self.fetcher, labels, window, self.group_by, self.keeps_dtype, pixels)

    def coordinates(self, seen):
        rows, columns = self.fetcher.array.shape[3:]
        z = [
            (0.1 * z + 0.07 - 0.1 * z) / 2 + 0.1 * z if z in {key[2] for key in seen} else np.nan
            for z in self.labels[2]
        ]
        y = np.linspace(0.3, 0.9, rows)[self.window[0]]
        return np.linspace(0.1, 1.7, columns)[self.window[1]], y, np.array(z)


@dataclass
class Model:
    """A stack, and what it should be."""

    stack: ImageStack
    labels: list
    shape: tuple
    load: Load | None
    pixels: np.ndarray | None = None
    coordinates: tuple | None = None
    missing: list = field(default_factory=list)
    out: np.ndarray | None = None


def span(part):
    return part.stop - part.start


def take(array, picked):
    """Positions of all axes: slices first, which share memory, then lists."""
    array = array[tuple(one if isinstance(one, slice) else slice(None) for one in picked)]
    for number, one in enumerate(picked):
        if not isinstance(one, slice):
            array = array.take(one, axis=number)
    return array


KINDS = ("all", "all", "one", "range", "range", "step", "list")


def selections(draw, model, by_position, kinds=KINDS):
    """Draw what to select, and the positions which that is."""
    selector, picked, scalars = {}, [], []
    for number, axis in enumerate(AXES):
        size = (*map(len, model.labels), *model.shape)[number]
        kind = draw(st.sampled_from(kinds))
        first = draw(st.integers(0, size - 1))
        last = draw(st.integers(first, size - 1))
        positional = by_position or number > 2
        named = list(range(size)) if positional else model.labels[number]
        if kind == "all":
            picked.append(slice(0, size))
        elif kind == "one":
            selector[axis] = first - size * draw(st.booleans()) if positional else named[first]
            picked.append(slice(first, first + 1))
            scalars.append(number)
        elif kind == "list":
            places = draw(st.sets(st.integers(0, size - 1), min_size=1).map(sorted))
            selector[axis] = [named[place] for place in places]
            picked.append(np.array(places))
        else:
            ends = [first, last + 1] if positional else [named[first], named[last]]
            if last == size - 1 and draw(st.booleans()):
                ends[1] = None
            step = 2 if kind == "step" else 1
            whole = slice(*ends, step) if step > 1 or draw(st.booleans()) else tuple(ends)
            selector[axis] = whole
            picked.append(slice(first, last + 1, step))
    return selector, picked, scalars


class Stacks(RuleBasedStateMachine):
    @initialize(
        axes=st.tuples(labels(), labels(), labels()),
        shape=st.tuples(st.integers(1, 6), st.integers(1, 6)),
        dtype=st.sampled_from(["u1", "<u2", ">u2", "<f4"]),
        thread_safe=st.booleans(),
        seed=st.integers(0, 99),
    )
    def start(self, axes, shape, dtype, thread_safe, seed):
        array = image((*map(len, axes), *shape), np.dtype(dtype).newbyteorder("="), seed)
        self.fetcher = Faulty(array.astype(dtype), axes, thread_safe)
        self.models = []

    def add(self, model):
        self.models = [*self.models, model][-MOST_STACKS:]

    def any(self, data, wanted=lambda model: True):
        models = [one for one in self.models if wanted(one)]
        # Where tiles are missing is where most can go wrong.
        return data.draw(st.sampled_from(models + 2 * [one for one in models if one.missing]))

    @rule(data=st.data(), group_by=group_bys(), keeps_dtype=st.booleans())
    @counted
    def make(self, data, group_by, keeps_dtype):
        source = self.fetcher
        axes, window = [sorted(axis) for axis in source.labels], []
        cropped = data.draw(st.booleans(), label="cropped")
        crop = {}
        for number, name in enumerate(("rounds", "chs", "zplanes")):
            if cropped:
                kept = data.draw(st.lists(st.sampled_from(axes[number]), min_size=1, unique=True))
                crop[f"permitted_{name}"] = [*kept, 999]
                axes[number] = sorted(kept)
        for name, size in zip("yx", source.array.shape[3:], strict=True):
            first = data.draw(st.integers(0, size - 1)) if cropped else 0
            last = data.draw(st.integers(first, size - 1)) if cropped else size - 1
            window.append(slice(first, last + 1))
            crop[f"{name}_slice"] = slice(first, last + 1 - size or None)
        native = source.array.dtype.newbyteorder("=") if keeps_dtype else np.dtype(np.float32)
        shape = (*map(len, axes), *map(span, window))
        out = self.an_array(data, shape, native)
        stack = ImageStack.from_tilefetcher(
            **arguments(source),
            group_by=group_by,
            crop_parameters=CropParameters(**crop),
            dtype=None if keeps_dtype else np.float32,
            workers=data.draw(st.sampled_from([None, 1, 2, 3]), label="workers"),
            out=out,
        )
        load = Load(source, axes, tuple(window), group_by, keeps_dtype, np.empty(shape, native))
        assert list(stack.plan) == load.order
        self.add(Model(stack, axes, shape[3:], load, out=out))

    def an_array(self, data, shape, dtype):
        """An array of the caller to load into, perhaps one with gaps, or in a file."""
        kind = data.draw(st.sampled_from([None, None, "array", "gaps", "file"]), label="out")
        if kind == "array":
            return np.empty(shape, dtype)
        if kind == "gaps":
            return np.empty((*shape[:2], 2 * shape[2], *shape[3:]), dtype)[:, :, ::2]
        if kind == "file":
            with tempfile.TemporaryFile() as file:
                return np.memmap(file, dtype, "w+", shape=shape)
        return None

    def unloaded(self):
        return [one for one in self.models if one.pixels is None]

    def break_tiles(self, data, model):
        keys = st.sampled_from(model.load.order)
        steps = st.sampled_from(["get_tile", "coordinates", "tile_data"])
        faults = st.dictionaries(keys, st.tuples(steps, st.integers(1, 3)), min_size=1, max_size=2)
        model.load.fetcher.faults |= data.draw(faults, label="faults")

    # How far several threads have come when one fails is not the same every time.
    @precondition(lambda self: self.unloaded() and not self.fetcher.thread_safe)
    @rule(data=st.data())
    @counted
    def break_some_tiles(self, data):
        self.break_tiles(data, data.draw(st.sampled_from(self.unloaded())))

    @precondition(lambda self: self.fetcher.faults)
    @rule()
    @counted
    def mend_tiles(self):
        self.fetcher.faults.clear()

    @precondition(lambda self: self.models)
    @rule(data=st.data())
    @counted
    def load(self, data):
        model = data.draw(st.sampled_from(self.unloaded() or self.models))
        self.loads(model, model.stack.load)

    @precondition(unloaded)
    @rule(data=st.data(), fill_value=st.sampled_from([0, 1, None]))
    @counted
    def load_past_broken_tiles(self, data, fill_value):
        model = data.draw(st.sampled_from(self.unloaded()))
        self.break_tiles(data, model)
        if self.fetcher.thread_safe:
            fill_value = fill_value or 0
        how = {} if fill_value is None else {"on_error": "fill", "fill_value": fill_value}
        self.loads(model, lambda: model.stack.load(**how), fill_value)
        if self.fetcher.thread_safe:
            model.load.fetcher.faults.clear()

    @precondition(lambda self: self.models)
    @rule(data=st.data())
    @counted
    def load_in_threads(self, data):
        model = self.any(data)
        found = []

        def load_together():
            threads = [
                threading.Thread(target=lambda: found.append(model.stack.to_numpy()))
                for _ in range(3)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        if model.load is not None:
            model.load.fetcher.faults.clear()
        assert self.loads(model, load_together)
        assert len(found) == 3
        assert all(one is found[0] for one in found)

    def loads(self, model, act, fill_value=None):
        """Do what loads a stack; return whether it did, after comparing what was asked."""
        load = model.load
        if model.pixels is not None:
            act()
            return True
        fetcher = load.fetcher
        todo = [key for key in load.order if key not in load.placed]
        broken = [key for key in todo if key in fetcher.faults]
        before = len(fetcher.events)
        fails = bool(broken) and (fill_value is None or (not load.placed and broken == todo))
        if fails:
            with pytest.raises(OSError) as raised:  # noqa: PT011
                act()
        elif broken:
            with pytest.warns(DataFormatWarning, match=f"^{len(broken)} of {len(load.order)}"):
                act()
        else:
            act()
        asked = [key for name, key in fetcher.events[before:] if name == "get_tile"]
        assert len(asked) == len(set(asked))
        assert set(asked) <= set(todo)
        failed = [key for key in broken if key in asked]
        if not fetcher.thread_safe:
            stopped = broken and fill_value is None
            assert asked == (todo[: todo.index(broken[0]) + 1] if stopped else todo)
        if not fails:
            assert set(asked) == set(todo)
        self.outcomes["fails" if fails else "fills" if broken else "loads"] += 1
        load.failed = set()
        for key in asked:
            if key not in failed:
                load.place(key)
        if fails:
            assert str(raised.value).endswith(str(failed[0]))
            r, c, z = failed[0]
            assert f"(fov=0, round={r}, ch={c}, zplane={z})" in "".join(raised.value.__notes__)
            return False
        load.failed = set(failed)
        for key in failed:
            load.pixels[load.at(key)] = fill_value
        model.pixels, model.missing = load.pixels, sorted(failed)
        model.coordinates = load.coordinates(load.placed)
        if model.out is not None:
            assert model.stack.to_numpy() is model.out
        return True

    @precondition(lambda self: self.models)
    @rule(data=st.data(), by_position=st.booleans())
    @counted
    def select(self, data, by_position):
        model = self.any(data)
        selector, picked, _ = selections(data.draw, model, by_position)
        self.selected(
            model, picked, lambda: (model.stack.isel if by_position else model.stack.sel)(selector)
        )

    @precondition(unloaded)
    @rule(data=st.data())
    @counted
    def narrow(self, data):
        model = data.draw(st.sampled_from(self.unloaded()))
        selector, picked, _ = selections(data.draw, model, True, ["one", "range", "range"])
        self.selected(model, picked, lambda: model.stack.isel(selector))

    def selected(self, model, picked, select):
        made = []
        named = [
            np.array(axis)[one].tolist() for axis, one in zip(model.labels, picked, strict=False)
        ]
        sizes = tuple(
            len(np.arange(size)[one]) for size, one in zip(model.shape, picked[3:], strict=True)
        )
        whole = all(isinstance(one, slice) and one.step in (None, 1) for one in picked[3:])
        if model.pixels is None and whole:
            window = tuple(
                slice(outer.start + inner.start, outer.start + inner.stop)
                for outer, inner in zip(model.load.window, picked[3:], strict=True)
            )
            self.add(Model(select(), named, sizes, model.load.narrowed(named, window)))
            return
        if not self.loads(model, lambda: made.append(select())):
            return
        x, y, z = model.coordinates
        coordinates = x[picked[4]], y[picked[3]], z[picked[2]]
        kept = [key for key in model.missing if all(map(list.__contains__, named, key))]
        pixels = take(model.pixels, picked)
        load = model.load and model.load.narrowed(named, model.load.window)
        self.add(Model(made[0], named, sizes, load, pixels, coordinates, kept))

    @precondition(lambda self: self.models)
    @rule(data=st.data())
    @counted
    def refuse_a_selection(self, data):
        model = self.any(data)
        events = len(self.fetcher.events)
        number = data.draw(st.integers(0, 2))
        for select in (model.stack.sel, model.stack.get_slice):
            with pytest.raises(KeyError, match="no label 1000"):
                select({AXES[number]: 1000})
        with pytest.raises(ValueError, match="selects nothing"):
            model.stack.isel({"x": (3, 3)})
        with pytest.raises(IndexError):
            model.stack.isel({"y": model.shape[0]})
        assert len(self.fetcher.events) == events

    @precondition(lambda self: self.models)
    @rule(data=st.data())
    @counted
    def ask_for_coordinates(self, data):
        self.knows_coordinates(self.any(data))

    def knows_coordinates(self, model):
        load = model.load
        if model.coordinates is None and len(load.placed | load.failed) == len(load.order):
            model.coordinates = load.coordinates(load.placed)
        if model.coordinates is None:
            steps = ("get_tile", "coordinates")
            faults = load.fetcher.faults
            broken = [key for key in load.order if faults.get(key, "_")[0] in steps]
            if broken:
                with pytest.raises(OSError, match=r"^(get_tile|coordinates) of") as raised:
                    model.stack.physical_coordinates()
                assert str(raised.value).endswith(str(broken[0]))
                return
            model.coordinates = load.coordinates(load.order)
        before = len(load.fetcher.asked()) if load else 0
        found = model.stack.physical_coordinates()
        assert load is None or len(load.fetcher.asked()) == before
        for mine, right in zip(found, model.coordinates, strict=True):
            assert mine.tobytes() == right.tobytes()

    @precondition(lambda self: self.models)
    @rule(data=st.data())
    @counted
    def select_by_coordinates(self, data):
        model = self.any(data)
        self.knows_coordinates(model)
        if model.coordinates is None or np.isnan(model.coordinates[2]).any():
            return
        picked = [slice(0, len(axis)) for axis in model.labels]
        indexers = {}
        for axis, name in ((2, "zc"), (1, "yc"), (0, "xc")):
            values = model.coordinates[axis]
            place = data.draw(st.integers(0, len(values) - 1))
            indexers[name] = values[place]
            place = int(np.abs(values - values[place]).argmin())  # of equals, the first
            picked[2:] = (
                [*picked[2:], slice(place, place + 1)] if axis < 2 else [slice(place, place + 1)]
            )
        self.selected(model, picked, lambda: model.stack.sel_by_physical_coords(indexers))

    @precondition(lambda self: self.models)
    @rule(data=st.data())
    @counted
    def get_slice(self, data):
        model = self.any(data)
        selector, picked, scalars = selections(data.draw, model, by_position=False)
        found = []
        if not self.loads(model, lambda: found.append(model.stack.get_slice(selector))):
            return
        pixels, axes = found[0]
        right = take(model.pixels, picked).squeeze(axis=tuple(scalars))
        assert pixels.shape == right.shape
        assert pixels.tobytes() == right.tobytes()
        assert axes == [axis for number, axis in enumerate("rcz") if number not in scalars]

    @precondition(lambda self: self.models)
    @rule(data=st.data(), seed=st.integers(0, 99))
    @counted
    def set_slice(self, data, seed):
        model = self.any(data)
        selector, picked, scalars = selections(data.draw, model, by_position=False)
        if model.pixels is None and not self.loads(model, model.stack.load):
            return
        right = take(model.pixels, picked)
        new = image(right.shape, model.pixels.dtype, seed)
        kept = [number for number in range(5) if number not in scalars]
        order = data.draw(st.permutations([one for one in kept if one < 3]), label="axes")
        order += [one for one in kept if one > 2]
        given = new.squeeze(axis=tuple(scalars)).transpose([kept.index(one) for one in order])
        axes = [AXES[one] for one in order if one < 3]
        model.stack.set_slice(selector, given, axes=axes)
        places = [
            np.arange(size)[one] for size, one in zip(model.pixels.shape, picked, strict=True)
        ]
        model.pixels[np.ix_(*places)] = new

    @precondition(lambda self: self.models)
    @rule(data=st.data())
    @counted
    def refuse_pixels(self, data):
        model = self.any(data)
        if model.pixels is None and not self.loads(model, model.stack.load):
            return
        new = np.zeros((*map(len, model.labels[1:]), *model.shape), model.pixels.dtype)
        here = {"r": model.labels[0][0]}
        with pytest.raises(TypeError, match="convert it first"):
            model.stack.set_slice(here, new.astype(np.float64), axes="cz")
        with pytest.raises(ValueError, match="the selector leaves"):
            model.stack.set_slice(here, new[..., :0], axes="cz")
        if new.dtype.kind == "f":
            with pytest.raises(ValueError, match="intensities must lie"):
                model.stack.set_slice(here, new + 2, axes="cz")

    @precondition(lambda self: self.models)
    @rule(data=st.data(), protocol=st.integers(2, pickle.HIGHEST_PROTOCOL))
    @counted
    def pickle(self, data, protocol):
        model = self.any(data)
        stack = pickle.loads(pickle.dumps(model.stack, protocol))
        load, pixels = model.load, model.pixels
        if pixels is not None:
            pixels = pixels.copy()
        if load is not None:
            shared = load.pixels is model.pixels
            load = copy.copy(load)
            load.fetcher = stack._loader.fetcher
            load.pixels = pixels if shared else load.pixels.copy()
            load.placed, load.failed = set(load.placed), set(load.failed)
        fields = {"load": load, "pixels": pixels, "out": None}
        self.add(Model(**{**vars(model), **fields, "stack": stack}))

    @precondition(lambda self: self.models)
    @rule(data=st.data())
    @counted
    def copy(self, data):
        """A shallow copy shares all that the stack has, and what it will load."""
        model = self.any(data)
        self.add(Model(**{**vars(model), "stack": copy.copy(model.stack)}))

    @precondition(lambda self: self.models)
    @rule(data=st.data())
    @counted
    def deepcopy(self, data):
        model = self.any(data)
        fields = {"stack": copy.deepcopy(model.stack), "out": None}
        if model.pixels is not None:
            fields["pixels"] = model.pixels.copy()
        else:
            fields["load"] = model.load.narrowed(model.labels, model.load.window)
        self.add(Model(**{**vars(model), **fields}))

    @precondition(lambda self: self.models)
    @rule(data=st.data(), value=st.sampled_from([0, 1]))
    @counted
    def write_through_xarray(self, data, value):
        model = self.any(data)
        found = []
        if not self.loads(model, lambda: found.append(model.stack.xarray)):
            return
        array = found[0]
        assert array.dims == tuple(AXES)
        assert [array[axis].values.tolist() for axis in "rcz"] == model.labels
        for name, right in zip(("xc", "yc", "zc"), model.coordinates, strict=True):
            assert array[name].values.tobytes() == right.tobytes()
        array.values[-1, :, 0] = value
        model.pixels[-1, :, 0] = value

    @precondition(lambda self: any(one.pixels is not None for one in self.models))
    @rule(data=st.data(), shares=st.booleans())
    @counted
    def make_of_arrays(self, data, shares):
        model = self.any(data, lambda one: one.pixels is not None)
        if model.pixels.dtype != np.float32 or np.isnan(model.coordinates[2]).any():
            return
        if shares:
            stack, pixels = ImageStack.from_xarray(model.stack.xarray), model.pixels
        else:
            named = dict(zip("rcz", model.labels, strict=True))
            lie = dict(zip(("xc", "yc", "zc"), model.coordinates, strict=True))
            stack = ImageStack.from_numpy(np.asarray(model.stack), named, lie)
            pixels = model.pixels.copy()
        self.add(Model(stack, model.labels, model.shape, None, pixels, model.coordinates))

    @invariant()
    def all_stacks_are_what_they_should_be(self):
        for model in getattr(self, "models", ()):
            stack = model.stack
            assert stack.raw_shape == (*map(len, model.labels), *model.shape)
            assert [stack.axis_labels(axis) for axis in "rcz"] == model.labels
            assert list(stack.missing) == model.missing
            assert ("not loaded" in stack.state()) == (model.pixels is None)
            if model.load is not None:
                assert list(stack.plan) == model.load.order
            if model.pixels is not None:
                pixels = stack.to_numpy()
                assert pixels.dtype == model.pixels.dtype
                assert pixels.tobytes() == model.pixels.tobytes()


def test_stacks_are_what_arrays_would_be():
    Stacks.outcomes = Counter()
    run_machine(Stacks)
    print("of what loads:", dict(Stacks.outcomes))
    assert set(Stacks.outcomes) == {"loads", "fails", "fills"}
