"""The words of the demo shop: its departments, categories, brands and styles."""

from dataclasses import dataclass

Words = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Category:
    """One shelf label, the words its products are named with, and how they are bought."""

    name: str
    department: str
    price: float  # the middle of its price range
    finishes: Words  # what tells the variants of one product apart
    cycle_days: int  # days until it is used up; 0 if it lasts
    goes_with: Words  # categories that are bought after this one
    nouns: Words
    materials: Words
    uses: Words  # how a description says what the product is for


@dataclass(frozen=True, slots=True)
class Style:
    """A taste that runs through all departments."""

    name: str
    adjectives: Words
    sentences: Words


def _words(text: str) -> Words:
    return tuple(word.strip() for word in text.split(",") if word.strip())


FINISHES = {
    "wood": _words("natural, white, black, smoked, honey, walnut brown"),
    "cloth": _words("sand, navy, olive, charcoal, rust, cream, burgundy"),
    "bright": _words("red, blue, yellow, green, coral, white, black"),
    "tech": _words("black, silver, white, graphite, blue"),
    "metal": _words("polished, brushed, black, antique, grey"),
    "roast": _words("light, medium, dark, extra dark"),
    "scent": _words("lavender, citrus, rose, mint, unscented"),
    "flavour": _words("chicken, salmon, beef, lamb, turkey"),
    "taste": _words("mild, fruity, peppery, smoked"),
    "size": _words("size 1, size 2, size 3, size 4, size 5"),
    "grain": _words("fine, medium, coarse"),
    "ink": _words("blue, black, sepia, emerald, violet"),
}

BRANDS: dict[str, Words] = {
    "furniture": _words("Lindqvist, Harrowby, Casa Moro, Nordholm, Tilbury & Fenn"),
    "kitchen": _words("Brennero, Oakhart, Kestrel Forge, Maison Lerue, Hobb & Daughter"),
    "pantry": _words("Finca Alma, Millstone Lane, Terra Bruna, Quayside, Olivar Viejo"),
    "beauty": _words("Solenne, Birkenfeld, Mira Botanica, Aquarelle, Wren & Willow"),
    "electronics": _words("Voltara, Kinetiq, Halden, Optima Nova, Tessellate"),
    "sports": _words("Strider, Velocita, Kaito, Peakform, Ravelin"),
    "outdoor": _words("Fjellvik, Cairn & Co, Talus, Northlight, Wayfarer"),
    "clothing": _words("Ashdown, Linea Prima, Marlowe, Tidewater, Brookes Hill"),
    "pets": _words("Waggle, Barkwell, Pawprint, Fenwick, Happy Hearth"),
    "baby": _words("Little Otter, Nestling, Bambola, Cloudberry, Tumble"),
    "garden": _words("Greenhithe, Mossley, Terracina, Hedgerow, Thornbury"),
    "stationery": _words("Inkwell, Papier Bleu, Hartmann, Quillon, Foolscap"),
}

STYLES = (
    Style(
        "minimalist",
        _words("Plain, Pure, Clean, Slim"),
        ("Clean lines and nothing you do not need.", "Quiet, simple and easy to live with."),
    ),
    Style(
        "rustic",
        _words("Rustic, Farmhouse, Country, Artisan"),
        ("Warm and weathered, with the mark of the hand.", "Honest character from the country."),
    ),
    Style(
        "sporty",
        _words("Active, Dynamic, Sprint, Agile"),
        ("Light, quick and ready for the next round.", "Made to move as fast as you do."),
    ),
    Style(
        "classic",
        _words("Classic, Heritage, Traditional, Timeless"),
        ("A timeless shape that never goes out of fashion.", "Just as grandmother liked it."),
    ),
    Style(
        "playful",
        _words("Playful, Happy, Sunny, Jolly"),
        ("Cheerful details bring a smile to every day.", "Bold, bright and full of fun."),
    ),
    Style(
        "organic",
        _words("Organic, Green, Earthy, Botanic"),
        ("Responsibly sourced and kind to the planet.", "From renewable sources, free of plastic."),
    ),
    Style(
        "luxury",
        _words("Luxe, Reserve, Signature, Prestige"),
        ("Exquisite finish, presented in a gift box.", "An indulgence made in small numbers."),
    ),
    Style(
        "rugged",
        _words("Rugged, Expedition, Trail, Tough"),
        ("Tested in wind and weather, built to last.", "Tough enough for years of hard use."),
    ),
)

# name | department | price | finishes | days until used up | what is bought next
# nouns
# materials
# uses
_TABLE = """
dining tables | furniture | 420 | wood | 0 | dining chairs
dining table, extending table, round table, trestle table
oak, beech, walnut, pine, ash, marble
seats six with ease, made for long dinners, folds out for guests

dining chairs | furniture | 95 | wood | 0 | cushions
dining chair, side chair, spindle chair, armchair, bar stool
oak, beech, walnut, rattan, ash, steel
comfortable until the coffee, shaped for the back, stackable and light

sofas | furniture | 890 | cloth | 0 | cushions, throws
two-seat sofa, corner sofa, sofa bed, loveseat
linen, velvet, leather, boucle, wool
deep enough to nap on, with covers that wash, turns into a guest bed

cushions | furniture | 24 | cloth | 0 |
cushion, seat pad, bolster, floor cushion
linen, velvet, cotton, wool, corduroy
filled with soft down, with a hidden zip, softens any seat

throws | furniture | 48 | cloth | 0 |
throw, blanket, bedspread, knitted throw
wool, cotton, mohair, fleece, alpaca
warms cold evenings, woven with a fringe, soft against the skin

espresso machines | kitchen | 340 | metal | 0 | coffee
espresso machine, coffee maker, lever machine, moka pot
steel, aluminium, copper, chrome
with a steam wand for milk, heats up in a minute, pulls a thick crema

frying pans | kitchen | 58 | metal | 0 | olive oil
frying pan, saute pan, skillet, wok, grill pan
cast iron, carbon steel, copper, ceramic, aluminium
sears at high heat, safe for induction, nothing sticks to it

kitchen knives | kitchen | 82 | metal | 0 | knife sharpeners
chef's knife, paring knife, bread knife, santoku, cleaver
Damascus steel, carbon steel, ceramic, stainless
balanced in the hand, holds its edge for months, slices tomatoes thin

knife sharpeners | kitchen | 36 | metal | 0 |
whetstone, knife sharpener, honing rod, sharpening kit
diamond, corundum, ceramic, steel
brings back a dull edge, with a guide for the angle, grinds coarse and fine

coffee | pantry | 14 | roast | 21 |
coffee beans, espresso beans, filter coffee, ground coffee
Ethiopian, Colombian, Sumatran, Kenyan, Guatemalan
with notes of cocoa, roasted in small batches, bright with a long finish

tea | pantry | 9 | scent | 30 |
loose leaf tea, tea bags, breakfast tea, iced tea
Assam, Darjeeling, sencha, rooibos, jasmine
picked in the first flush, steeps in three minutes, calms the evening

olive oil | pantry | 18 | taste | 42 |
olive oil, cooking oil, dipping oil, oil tin
Picual, Arbequina, Koroneiki, Frantoio
cold pressed on the day, for salads and bread, grown on old terraces

shampoo | beauty | 11 | scent | 30 | conditioner
shampoo, shampoo bar, volume shampoo, scalp wash
argan, aloe, keratin, oat, charcoal
for dry hair, washes without weighing down, gentle enough for every day

conditioner | beauty | 12 | scent | 35 |
conditioner, hair mask, leave-in balm, repair cream
argan, aloe, keratin, oat, shea
untangles wet hair, smooths split ends, rinses out clean

face care | beauty | 29 | scent | 45 |
face cream, day cream, night serum, eye gel, cleansing foam
hyaluron, retinol, vitamin C, rosehip, squalane
for sensitive skin, wakes up tired eyes, absorbs at once

cameras | electronics | 780 | tech | 0 | memory cards, camera bags
mirrorless camera, compact camera, action camera, instant camera
24 MP, 33 MP, 45 MP, 4K
sharp in low light, with a screen that tilts, fits in a coat pocket

memory cards | electronics | 32 | tech | 0 | camera bags
memory card, SD card, microSD card, CF card
32 GB, 64 GB, 128 GB, 256 GB
writes bursts without a pause, proof against water, records 4K film

camera bags | electronics | 64 | cloth | 0 |
camera bag, camera sling, lens pouch, photo backpack
canvas, nylon, leather, waxed cotton
padded for two lenses, opens from the side, with a cover for rain

headphones | electronics | 150 | tech | 0 | headphone cases
headphones, earbuds, over-ear headphones, headset
wireless, bluetooth, wired, noise-cancelling
plays for thirty hours, keeps the train outside, clear on calls

headphone cases | electronics | 19 | tech | 0 |
headphone case, earbud case, headphone stand, cable pouch
leather, felt, silicone, hard shell
keeps cables in order, snaps shut with a magnet, clips to a bag

phone cases | electronics | 22 | bright | 0 |
phone case, phone cover, wallet case, bumper
leather, silicone, bamboo, clear, carbon
survives a fall, slim in the pocket, with room for two cards

running shoes | sports | 118 | bright | 0 | running socks
running shoe, road runner, trail shoe, racing flat
mesh, knit, foam, carbon plate
cushions long distances, grips on wet ground, light on race day

running socks | sports | 15 | bright | 0 |
running socks, ankle socks, compression socks, trail socks
merino, cotton, bamboo, nylon
stays dry to the finish, without a seam at the toe, supports the arch

yoga mats | sports | 45 | bright | 0 | yoga blocks
yoga mat, travel mat, exercise mat, pilates mat
cork, rubber, cotton, jute
grips without slipping, rolls up small, kind to the knees

yoga blocks | sports | 17 | bright | 0 |
yoga block, yoga strap, bolster, meditation cushion
cork, foam, cotton, bamboo
steadies every pose, helps a stretch along, firm under the hand

tents | outdoor | 260 | cloth | 0 | sleeping bags
tent, tunnel tent, dome tent, family tent
ripstop, canvas, silnylon, polyester
up in five minutes, dry in three days of rain, sleeps three

sleeping bags | outdoor | 130 | cloth | 0 | camping stoves
sleeping bag, mummy bag, camping quilt, sleeping pod
down, fleece, microfibre, wool
warm below freezing, packs to a litre, opens into a blanket

camping stoves | outdoor | 72 | metal | 0 |
camping stove, gas burner, fire bowl, wood stove
titanium, steel, brass, aluminium
boils a litre in three minutes, steady in the wind, folds flat

shirts | clothing | 52 | cloth | 0 | trousers
shirt, blouse, overshirt, polo shirt
linen, cotton, flannel, denim, silk
cut to be worn loose, crisp after every wash, soft from the first day

trousers | clothing | 68 | cloth | 0 | belts
trousers, chinos, jeans, culottes
linen, cotton, denim, corduroy, wool
sits high on the waist, with pockets that hold things, tapered at the leg

belts | clothing | 34 | cloth | 0 |
belt, braided belt, webbing belt, dress belt
leather, suede, canvas, vegan leather
with a solid brass buckle, ages with grace, fits every loop

scarves | clothing | 39 | cloth | 0 |
scarf, shawl, neckerchief, snood
cashmere, wool, silk, cotton
warm without weight, long enough to wrap twice, soft around the neck

dog food | pets | 34 | flavour | 28 |
dog food, puppy food, dry kibble, dog dinner
grain-free, wholegrain, high-protein, sensitive
with vegetables for the gut, for a glossy coat, for big breeds

cat food | pets | 26 | flavour | 21 |
cat food, kitten food, cat pate, cat biscuits
grain-free, indoor, high-protein, sensitive
for choosy eaters, in gravy, for cats that stay indoors

pet beds | pets | 55 | cloth | 0 |
dog bed, cat basket, pet cushion, cat cave
wicker, felt, fleece, canvas, memory foam
raised at the rim, with a cover that washes, warm on stone floors

prams | baby | 480 | cloth | 0 | baby blankets
pram, pushchair, buggy, travel system
aluminium, canvas, leather-trim, steel
folds with one hand, rolls over cobbles, from the first day on

baby blankets | baby | 28 | cloth | 0 |
baby blanket, swaddle, footmuff, play mat
muslin, merino, cotton, fleece
soft on new skin, warm on winter walks, washes at sixty degrees

nappies | baby | 21 | size | 14 | baby wipes
nappies, nappy pants, newborn nappies, night nappies
bamboo, cotton, soft-touch, slim-fit
dry through the night, soft at the waist, free of perfume

baby wipes | baby | 8 | scent | 18 |
baby wipes, water wipes, wash cloths, travel wipes
bamboo, cotton, aloe, camomile
with nothing but water, for hands and faces, thick enough for anything

plant pots | garden | 27 | metal | 0 | potting soil
plant pot, planter, window box, hanging basket
terracotta, zinc, ceramic, rattan, concrete
drains well, withstands frost, for herbs on the sill

potting soil | garden | 12 | grain | 50 |
potting soil, compost, herb soil, seed soil
peat-free, coir, loam, bark
feeds for eight weeks, holds water in summer, for pots and beds

notebooks | stationery | 16 | bright | 0 | fountain pens
notebook, sketchbook, journal, planner
linen, leather, kraft, recycled
lies flat when open, paper that takes ink, with a ribbon to mark the page

fountain pens | stationery | 62 | metal | 0 | ink
fountain pen, brush pen, calligraphy pen, rollerball
resin, brass, steel, ebonite
writes at a touch, with a nib of medium width, refills from the bottle

ink | stationery | 10 | ink | 40 |
bottled ink, ink cartridges, drawing ink, calligraphy ink
iron gall, pigment, shimmer, dye-based
dries without a smudge, shades as you write, safe for old pens
"""


def _category(paragraph: str) -> Category:
    head, nouns, materials, uses = paragraph.split("\n")
    name, department, price, finish, days, goes_with = (cell.strip() for cell in head.split("|"))
    return Category(
        name=name,
        department=department,
        price=float(price),
        finishes=FINISHES[finish],
        cycle_days=int(days),
        goes_with=_words(goes_with),
        nouns=_words(nouns),
        materials=_words(materials),
        uses=_words(uses),
    )


CATEGORIES = tuple(_category(paragraph) for paragraph in _TABLE.strip().split("\n\n"))
