"""Right fetchers, of which the others break, or keep, one thing."""

from tifffile import imread

from starfish_fetch import FetchedTile, TileFetcher, TileKey

__all__ = ["Fetcher", "Files", "Memory", "Stacks", "Tile"]


class Tile(FetchedTile):
    """A tile that asks its fetcher for everything."""

    def __init__(self, fetcher, fov, key):
        self.fetcher, self.fov, self.key = fetcher, fov, key

    @property
    def shape(self):
        return self.fetcher.shape_of(self.key)

    @property
    def coordinates(self):
        return self.fetcher.coordinates_of(self.fov, self.key)

    def tile_data(self):
        return self.fetcher.pixels_of(self.fov, self.key)


class Fetcher(TileFetcher):
    """What all have in common: labels, shape and place."""

    tile = Tile

    def __init__(self, image):
        self.extent = image.extent

    def get_tile(self, fov, r, c, z):
        return self.tile(self, fov, TileKey(r, c, z))

    def shape_of(self, key):
        return dict(self.extent.tile_shape)

    def coordinates_of(self, fov, key):
        rows, columns = self.extent.tile_shape.values()
        left = fov * columns * 0.5
        return {
            "xc": (left, left + max(columns - 1, 1) * 0.5),
            "yc": (0.0, max(rows - 1, 1) * 0.5),
            "zc": (key.zplane * 1.0, key.zplane + 1.0),
        }

    def pixels_of(self, fov, key):
        raise NotImplementedError


class Files(Fetcher):
    """One file per tile, with the labels in its name."""

    def __init__(self, image):
        super().__init__(image)
        self.root = image.root

    def path(self, fov, r, c, z):
        return f"{self.root}/fov{fov}_r{r}_c{c}_z{z}.tiff"

    def pixels_of(self, fov, key):
        return imread(self.path(fov, *key), key=0)


class Stacks(Fetcher):
    """One file per round and channel, with the z-planes as its pages."""

    def __init__(self, image):
        super().__init__(image)
        self.root = image.root

    def path(self, fov, r, c):
        return f"{self.root}/fov{fov}_r{r}_c{c}.tiff"

    def page(self, z):
        return self.extent.zplanes.index(z)

    def pixels_of(self, fov, key):
        return imread(self.path(fov, key.round, key.ch), key=self.page(key.zplane))


class Memory(Fetcher):
    """A 5-D array."""

    def __init__(self, image):
        super().__init__(image)
        self.array = image.array
        self.fov = image.fov

    def index(self, fov, key):
        if fov != self.fov:
            raise ValueError(f"there is no field of view {fov}")
        extent = self.extent
        return (
            extent.rounds.index(key.round),
            extent.chs.index(key.ch),
            extent.zplanes.index(key.zplane),
        )

    def pixels_of(self, fov, key):
        return self.array[self.index(fov, key)].copy()
