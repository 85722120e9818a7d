"""The goods of the demo shop: what each item is, how it is named, and when it can be had."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.features.arrays import PAD, Array, Floats, Mask, Rows
from recsys.shop_words import BRANDS, CATEGORIES, STYLES, Words

Random = np.random.Generator

DAY = 86_400
WEEK = 7 * DAY

TASTES = 4
"""How many numbers tell what a category and a style do not: why this one and not the next."""

LINKS = 2
"""How many complements each item has."""

NEW, SOLD_OUT, UNTOUCHED = 0.25, 0.08, 0.04
"""Shares of items: listed during the log, out of stock at its end, never looked at."""

_BRANDS = [brand for brands in BRANDS.values() for brand in brands]
_NAMES = [words.name for words in CATEGORIES]


@dataclass(frozen=True)
class Goods:
    """All items, sorted as on a shelf: by category, then style, then price."""

    category: Rows  # (items,) position in CATEGORIES
    style: Rows  # (items,) position in STYLES
    brand: Rows  # (items,) position among all brands
    model: Rows  # (items,) the product of which an item is one variant
    variant: Rows  # (items,) 0, 1, ... within the product
    price: NDArray[np.float64]  # (items,)
    price_level: Floats  # (items,) log price against the category's middle, about -1..1
    character: Floats  # (items, TASTES)
    listed: Rows  # (items,) week in which it is first sold; 0 if it was there before the log
    sold_out: Rows  # (items,) week from which it cannot be had
    available: Mask  # (items,) whether it can be had when the log ends

    def __len__(self) -> int:
        return len(self.category)

    @cached_property
    def cells(self) -> Rows:
        """(categories * styles + 1,) where each category and style begins."""
        cell = self.category * len(STYLES) + self.style
        return np.searchsorted(cell, np.arange(len(CATEGORIES) * len(STYLES) + 1)).astype(np.int32)


@dataclass(frozen=True)
class Shelf:
    """How much each item is looked at, week by week, laid out so that draws are cheap."""

    goods: Goods
    weight: Floats  # (weeks, items) 0 where an item is not on sale

    @cached_property
    def _edges(self) -> NDArray[np.float64]:
        """(weeks * items + 1,) running sum of the weights."""
        return np.concatenate([[0.0], np.cumsum(self.weight, dtype=np.float64)])

    def on_sale(self, week: Array, item: Array) -> Mask:
        """Whether items (n,) can be had in weeks (n,)."""
        return np.asarray(self.weight[week, item] > 0)

    def draw(self, week: Array, category: Array, style: Array, rng: Random) -> Rows:
        """One item by popularity for each week, category and style (n,).

        Where nothing of that style is on sale any item of the category will do, and where
        nothing of that category is, any item of the shop.
        """
        cell = category * len(STYLES)
        low, high = self._range(week, cell + style, 1)
        for wider, width in ((cell, len(STYLES)), (0 * cell, len(CATEGORIES) * len(STYLES))):
            empty = np.flatnonzero(low == high)
            low[empty], high[empty] = self._range(week[empty], wider[empty], width)
        point = low + rng.random(len(low)) * (high - low)
        # Rounding may lift a point to the upper edge, where an item that is not on sale begins.
        point = np.minimum(point, np.nextafter(high, low))
        place = np.searchsorted(self._edges, point, side="right") - 1
        items: Rows = (place % len(self.goods)).astype(np.int32)
        return items

    def _range(self, week: Array, cell: Array, width: int) -> tuple[Array, Array]:
        start, cells = week.astype(np.int64) * len(self.goods), self.goods.cells
        return self._edges[start + cells[cell]], self._edges[start + cells[cell + width]]


def category_shares() -> NDArray[np.float64]:
    """(categories,) how much of the shop each is; what is used up is bought most."""
    shares = np.array([1.5 if words.cycle_days else 1.0 for words in CATEGORIES])
    return np.asarray(shares / shares.sum())


def make_goods(items: int, weeks: int, rng: Random) -> Goods:
    """Design `items` items; one product in five comes in several variants."""
    model, variant = _variants(items, rng)
    category, style, brand = _kinds(int(model[-1]) + 1, rng)
    level = _price_levels(style, brand, rng)
    price = _shop_price(np.array([w.price for w in CATEGORIES])[category] * np.exp(0.45 * level))
    character = rng.normal(size=(len(_BRANDS), TASTES))[brand]
    character = 0.7 * character + 0.7 * rng.normal(size=character.shape)
    # `model` comes after the price, so that the variants of a product stay side by side.
    order = np.lexsort((variant, model, price[model], style[model], category[model]))
    model = model[order]
    listed, sold_out, available = _presence(items, weeks, rng)
    return Goods(
        category=category[model],
        style=style[model],
        brand=brand[model],
        model=model,
        variant=variant[order],
        price=price[model],
        price_level=level[model].astype(np.float32),
        character=character[model].astype(np.float32),
        listed=listed,
        sold_out=sold_out,
        available=available,
    )


def _variants(items: int, rng: Random) -> tuple[Rows, Rows]:
    """The product of each item and which of its variants it is, both (items,)."""
    sizes = rng.choice([1, 2, 3], size=items, p=[0.8, 0.13, 0.07])
    model = np.repeat(np.arange(items, dtype=np.int32), sizes)[:items]
    return model, (np.arange(items) - np.searchsorted(model, model)).astype(np.int32)


def _kinds(models: int, rng: Random) -> tuple[Rows, Rows, Rows]:
    """Category, style and brand of each product; every brand leans to one style."""
    category = rng.choice(len(CATEGORIES), size=models, p=category_shares())
    brands = [[_BRANDS.index(brand) for brand in BRANDS[w.department]] for w in CATEGORIES]
    brand = np.array(brands)[category, rng.integers(len(brands[0]), size=models)]
    lean = rng.integers(len(STYLES), size=len(_BRANDS))[brand]
    style = np.where(rng.random(models) < 0.5, lean, rng.integers(len(STYLES), size=models))
    return category.astype(np.int32), style.astype(np.int32), brand.astype(np.int32)


def _price_levels(style: Rows, brand: Rows, rng: Random) -> NDArray[np.float64]:
    of_brand = rng.normal(0.0, 0.6, size=len(_BRANDS))[brand]
    of_style = np.array([0.6 * (words.name == "luxury") for words in STYLES])[style]
    return np.asarray(of_brand + of_style + rng.normal(0.0, 0.5, size=len(style)))


def _shop_price(price: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.where(price < 30, np.floor(price * 2) / 2 + 0.49, np.floor(price) + 0.9))


def _presence(items: int, weeks: int, rng: Random) -> tuple[Rows, Rows, Mask]:
    """Weeks in which each item is first and no longer sold, and if it is sold to the end.

    The first item always is, so that there is something to look at in every week.
    """
    arrival = rng.integers(1, max(weeks, 2), size=items)
    new = (rng.random(items) < NEW) & (weeks > 1)
    last = rng.integers(max(weeks - 3, 1), weeks + 1, size=items)
    gone = rng.random(items) < SOLD_OUT
    new[0] = gone[0] = False
    listed = np.where(new, arrival, 0)
    sold_out = np.where(gone, np.maximum(last, listed), weeks)
    return listed.astype(np.int32), sold_out.astype(np.int32), ~gone


def fill_shelf(goods: Goods, weeks: int, rng: Random) -> Shelf:
    """Give every item its popularity, with a long tail, in each of the weeks it is on sale."""
    popularity = (1.0 + rng.permutation(len(goods))) ** -1.0
    popularity[1:] *= rng.random(len(goods) - 1) >= UNTOUCHED
    trend = rng.choice([-1.5, 0.0, 1.5], size=len(goods), p=[0.15, 0.7, 0.15])
    week = np.arange(weeks)[:, None]
    age = week - goods.listed
    fresh = 1.0 + 2.0 * np.exp(-np.maximum(age, 0) / 2.0) * (goods.listed > 0)
    on_sale = (age >= 0) & (week < goods.sold_out)
    weight = popularity * np.exp(trend * week / weeks) * fresh * on_sale
    return Shelf(goods, weight.astype(np.float32))


def link_complements(goods: Goods, rng: Random) -> Rows:
    """(items, LINKS) what is bought after each item, in the same style; PAD where nothing is."""
    partners = [words.goes_with or (words.name,) for words in CATEGORIES]
    table = [[_NAMES.index(p[link % len(p)]) for link in range(LINKS)] for p in partners]
    target = np.array(table, np.int32)[goods.category].ravel()
    even = Shelf(goods, np.ones((1, len(goods)), np.float32))
    links = even.draw(np.zeros_like(target), target, np.repeat(goods.style, LINKS), rng)
    linked = np.array([bool(words.goes_with) for words in CATEGORIES])[goods.category]
    return np.where(linked[:, None], links.reshape(-1, LINKS), PAD).astype(np.int32)


def item_table(goods: Goods, ids: pl.Series, opening: datetime, rng: Random) -> pl.DataFrame:
    """The goods as a shop's catalogue, sorted by id; `opening` is when the log begins.

    `ids` (items,) name the goods. All titles differ: where two products read the same, the
    later one is numbered.
    """
    twin = pl.int_range(1, pl.len() + 1).over("title")
    number = pl.when(twin > 1).then(pl.format(", No. {}", twin)).otherwise(pl.lit(""))
    return (
        _words_of(goods, rng)
        .with_columns(title=_title(), description=_description())
        .select(
            item_id=ids,
            title=pl.col("title") + number,
            description="description",
            category="category",
            brand="brand",
            tags=pl.concat_list("style", "material", "finish"),
            price=pl.Series(goods.price),
            available=pl.Series(goods.available),
            variant_group=labels("model-", int(goods.model.max()) + 1).gather(goods.model),
            listed_at=pl.lit(opening) + pl.lit(_listed_after(goods, rng)),
        )
        .sort("item_id")
    )


def labels(prefix: str, n: int) -> pl.Series:
    """Readable ids, such as sku-00041, for numbers 0 to n - 1."""
    width = max(5, len(str(n - 1)))
    number = pl.int_range(n, eager=True).cast(pl.String).str.zfill(width)
    return prefix + number


def _words_of(goods: Goods, rng: Random) -> pl.DataFrame:
    """The words that tell one item, a column each, in small letters but for names."""

    def of_category(lists: Sequence[Words], shift: Array | int = 0) -> pl.Series:
        return _pick(lists, goods.category, _choice(goods, rng) + shift)

    return pl.DataFrame(
        {
            "category": pl.Series(_NAMES).gather(goods.category),
            "brand": pl.Series(_BRANDS).gather(goods.brand),
            "style": pl.Series([words.name for words in STYLES]).gather(goods.style),
            "noun": of_category([words.nouns for words in CATEGORIES]),
            "material": of_category([words.materials for words in CATEGORIES]),
            "finish": of_category([words.finishes for words in CATEGORIES], goods.variant),
            "use": of_category([words.uses for words in CATEGORIES]),
            "adjective": _pick(
                [words.adjectives for words in STYLES], goods.style, _choice(goods, rng)
            ),
            "sentence": _pick(
                [words.sentences for words in STYLES], goods.style, _choice(goods, rng)
            ),
        }
    )


def _title() -> pl.Expr:
    """Such as "Lindqvist Rustic Oak Dining Chair, Natural"."""
    words = [words for c in CATEGORIES for words in (c.nouns, c.materials, c.finishes)]
    capitals = {
        word: " ".join(part[0].upper() + part[1:] for part in word.split())
        for group in words
        for word in group
    }
    noun, material, finish = (
        pl.col(column).replace_strict(capitals) for column in ("noun", "material", "finish")
    )
    return pl.format("{} {} {} {}, {}", "brand", "adjective", material, noun, finish)


def _description() -> pl.Expr:
    """Such as "Rustic oak dining chair from Lindqvist: shaped for the back. Warm and ..."."""
    return pl.format(
        "{} {} {} from {}: {}. {}", "adjective", "material", "noun", "brand", "use", "sentence"
    )


def _choice(goods: Goods, rng: Random) -> Array:
    """(items,) one large number per product, the same for all its variants."""
    return rng.integers(1 << 20, size=int(goods.model.max()) + 1)[goods.model]


def _pick(lists: Sequence[Words], which: Rows, number: Array) -> pl.Series:
    """Word `number` (n,) of list `which` (n,), counting round and round."""
    sizes = np.array([len(words) for words in lists])
    starts = np.cumsum(sizes) - sizes
    flat = pl.Series([word for words in lists for word in words])
    return flat.gather(starts[which] + number % sizes[which])


def _listed_after(goods: Goods, rng: Random) -> pl.Series:
    """How long after the opening each item was listed, a little ahead of its first week."""
    before = np.where(goods.listed > 0, DAY // 2, 700 * DAY)
    seconds = goods.listed.astype(np.int64) * WEEK - rng.integers(1, before)
    return pl.Series(seconds * 1_000_000).cast(pl.Duration("us"))
