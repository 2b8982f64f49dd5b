"""The story shapes: each tells the start of a problem and returns what its last step has found."""

from words import (FOODS, FRACTION, GOODS, GROUPS, JOBS, PACKS, PLACES, PLANTS, RELATIVES, THINGS, TIMES_WORD)


class Found:
    """What the story has arrived at: who owns how many of what, and how to ask for it."""

    def __init__(self, kind, asks, who=None, noun=""):
        self.kind, self.asks, self.who, self.noun = kind, asks, who, noun


def items(who, noun, *asks):
    return Found("items", asks or (f"How many {noun} does {who.name} have now?", f"How many {noun} does {who.name} have?"),
                 who, noun)


def money(who, *asks):
    return Found("money", asks or (f"How much money does {who.name} have now?",), who)


def other(*asks):
    return Found("other", asks)


def packs(s):
    p, noun, pack = s.person(), s.pick(THINGS), s.pick(PACKS)
    k, m = s.num(2, 9), s.num(3, 12)
    s.say(f"{p.name} buys {k} {pack} of {noun} with {m} {noun} in each.",
          f"{p.name} has {k} {pack} with {m} {noun} in each.")
    s.step(f"{p.name} has @ {noun}.", k, "*", m)
    return items(p, noun)


def packs_two_sizes(s):
    p, noun, pack = s.person(), s.pick(THINGS), s.pick(PACKS)
    a, m, b, n = s.num(2, 6), s.num(3, 9), s.num(2, 6), s.num(4, 12)
    s.say(f"{p.name} has {a} small {pack} with {m} {noun} each and {b} large {pack} with {n} {noun} each.")
    x = s.step(f"The small {pack} hold @ {noun}.", a, "*", m)
    y = s.step(f"The large {pack} hold @ {noun}.", b, "*", n)
    s.step(f"{p.name} has @ {noun}.", x, "+", y)
    return items(p, noun, f"How many {noun} does {p.name} have in total?")


def start_and_packs(s):
    p, noun, pack = s.person(), s.pick(THINGS), s.pick(PACKS)
    a, k, m = s.num(5, 60), s.num(2, 8), s.num(3, 10)
    s.say(f"{p.name} has {a} {noun}.")
    s.say(f"{p.They} buys {k} more {pack} with {m} {noun} each.", f"Then {p.they} gets {k} {pack} of {m} {noun} each.")
    x = s.step(f"The {pack} hold @ {noun}.", k, "*", m)
    s.step(f"{p.name} has @ {noun}.", a, "+", x)
    return items(p, noun)


def more_or_fewer(s):
    a, b, noun = s.person(), s.person(), s.pick(THINGS)
    x, d, sign = s.num(21, 80), s.num(3, 20), s.choose("+-")
    word = "more" if sign == "+" else "fewer"
    s.say(f"{a.name} has {x} {noun}.")
    s.say(f"{b.name} has {d} {word} {noun} than {a.name}.")
    y = s.step(f"{b.name} has @ {noun}.", x, sign, d)
    s.step(f"Together they have @ {noun}.", x, "+", y)
    return other(f"How many {noun} do they have together?", f"How many {noun} do {a.name} and {b.name} have in total?")


def times_and_fewer(s):
    a, b, c, noun = s.person(), s.person(), s.person(), s.pick(THINGS)
    x, k, d = s.num(6, 25), s.num(2, 4), s.num(2, 10)
    s.say(f"{a.name} has {x} {noun}.")
    s.say(f"{b.name} has {TIMES_WORD[k]} as many {noun} as {a.name}.")
    s.say(f"{c.name} has {d} fewer {noun} than {b.name}.")
    y = s.step(f"{b.name} has @ {noun}.", x, "*", k)
    s.step(f"{c.name} has @ {noun}.", y, "-", d)
    return items(c, noun)


def three_days(s):
    p, noun, t = s.person(), s.pick(THINGS), s.num(2, 3)
    x, d = s.num(8, 40), s.num(2, 7)
    s.say(f"{p.name} finds {x} {noun} on Monday.", f"On Monday {p.name} collects {x} {noun}.")
    s.say(f"On Tuesday {p.they} finds {TIMES_WORD[t]} as many, and on Wednesday {d} fewer than on Monday.")
    y = s.step(f"On Tuesday {p.they} finds @ {noun}.", x, "*", t)
    z = s.step(f"On Wednesday {p.they} finds @ {noun}.", x, "-", d)
    s.step(f"{p.name} has @ {noun}.", x, "+", y, "+", z)
    return items(p, noun, f"How many {noun} does {p.name} have in all?")


def garden_rows(s):
    p, noun = s.person(), s.pick(PLANTS)
    r, c, d = s.num(3, 12), s.num(4, 12), s.num(2, 11)
    s.say(f"{p.name} plants {r} rows of {noun} with {c} in each row.", f"In {p.name}'s garden there are {r} rows of {c} {noun}.")
    s.say(f"In the storm {d} of them die.", f"A goat eats {d} of them.")
    x = s.step(f"There are @ {noun}.", r, "*", c)
    s.step(f"Then @ {noun} are left.", x, "-", d)
    return items(p, noun, f"How many {noun} are left?")


def wage(s):
    p, job = s.person(), s.pick(JOBS)
    h, d, w = s.num(3, 9), s.num(2, 6), s.num(8, 20)
    s.say(f"{p.name} works {job} for {h} hours a day and earns ${w} per hour.",
          f"{p.name} earns ${w} an hour {job} and works {h} hours each day.")
    s.say(f"{p.They} works {d} days.", f"This week {p.they} works on {d} days.")
    x = s.step(f"{p.name} works @ hours.", h, "*", d)
    s.step(f"{p.They} earns @ dollars.", x, "*", w)
    return money(p, f"How much does {p.name} earn?", f"How many dollars does {p.they} earn?")


def wage_two_rates(s):
    p, job = s.person(), s.pick(JOBS)
    w, h, v, g = s.num(8, 15), s.num(2, 9), s.num(16, 25), s.num(2, 6)
    s.say(f"{p.name} works {job} and gets ${w} an hour on weekdays and ${v} an hour on weekends.")
    s.say(f"This week {p.they} works {h} hours on weekdays and {g} hours on the weekend.")
    x = s.step(f"On weekdays {p.they} earns @ dollars.", h, "*", w)
    y = s.step(f"On the weekend {p.they} earns @ dollars.", g, "*", v)
    s.step(f"{p.name} earns @ dollars.", x, "+", y)
    return money(p, f"How much does {p.name} earn in total?")


def shop_change(s):
    p, (_, one), (_, two) = s.person(), *s.rng.sample(GOODS, 2)
    a, x, b, y = s.num(2, 6), s.num(2, 9), s.num(2, 5), s.num(3, 12)
    s.say(f"{p.name} buys {a} {one} for ${x} each and {b} {two} for ${y} each.")
    bill = s.choose([120, 150, 200])
    s.say(f"{p.They} pays with ${bill}.", f"{p.They} gives the clerk ${bill}.")
    c = s.step(f"The {one} cost @ dollars.", a, "*", x)
    d = s.step(f"The {two} cost @ dollars.", b, "*", y)
    e = s.step("Together that is @ dollars.", c, "+", d)
    s.step(f"{p.name} gets back @ dollars.", bill, "-", e)
    return money(p, f"How much change does {p.they} get?", f"How many dollars does {p.name} get back?")


def change_simple(s):
    p, (_, one) = s.person(), s.pick(GOODS)
    a, x = s.num(2, 9), s.num(3, 9)
    m = a * x + s.num(3, 40)
    s.say(f"{p.name} has ${m} and buys {a} {one} for ${x} each.")
    c = s.step(f"The {one} cost @ dollars.", a, "*", x)
    s.step(f"{p.name} has @ dollars left.", m, "-", c)
    return money(p, f"How much money does {p.name} have left?")


def discount(s):
    p, (one, many) = s.person(), s.pick(GOODS)
    price, off, k = 20 * s.num(1, 6), s.choose([10, 20, 25, 50]), s.num(2, 6)
    s.say(f"A {one} costs ${price} and is on sale for {off}% off.", f"A {one} that costs ${price} has a discount of {off}%.")
    s.say(f"{p.name} buys {k} {many} at the sale price.", f"{p.name} buys {k} of them.")
    x = s.step("The discount is @ dollars.", price, "*", off, "/", 100)
    y = s.step(f"One {one} costs @ dollars.", price, "-", x)
    s.step(f"{p.name} pays @ dollars.", k, "*", y)
    return other(f"How much does {p.name} pay?")


def share_packs(s):
    p, noun, pack = s.person(), s.pick(THINGS), s.pick(PACKS)
    f, q, k = s.num(2, 8), s.num(2, 9), s.num(2, 6)
    m = q * f
    s.say(f"{p.name} has {k} {pack} of {m} {noun} each and shares them equally among {f} friends.")
    x = s.step(f"{p.name} has @ {noun}.", k, "*", m)
    s.step(f"Each friend gets @ {noun}.", x, "/", f)
    return other(f"How many {noun} does each friend get?")


def how_many_days(s):
    p, food = s.person(), s.pick(FOODS)
    a, b, d = s.num(2, 4), s.num(2, 5), s.num(3, 12)
    s.say(f"{p.name} eats {a} {food} every morning and {b} every evening.")
    s.say(f"{p.They} has {(a + b) * d} {food}.")
    x = s.step(f"{p.name} eats @ {food} a day.", a, "+", b)
    s.step("They last @ days.", x * d, "/", x)
    return other(f"How many days do the {food} last?")


def pages(s):
    p = s.person()
    r, d, e, q = s.num(6, 20), s.num(2, 6), s.num(2, 6), s.num(5, 20)
    total = r * d + e * q
    s.say(f"{p.name} reads a book with {total} pages.")
    s.say(f"{p.They} reads {r} pages a day for {d} days and wants to finish the rest in {e} days.")
    x = s.step(f"{p.name} has read @ pages.", r, "*", d)
    y = s.step("Then @ pages are left.", total, "-", x)
    s.step(f"{p.They} must read @ pages a day.", y, "/", e)
    return other(f"How many pages must {p.they} read each day?")


def distance(s):
    p = s.person()
    v, h, w, g = s.num(20, 60), s.num(2, 5), s.num(20, 60), s.num(2, 5)
    s.say(f"{p.name} drives {h} hours at {v} miles per hour and then {g} hours at {w} miles per hour.")
    x = s.step(f"First {p.they} drives @ miles.", h, "*", v)
    y = s.step(f"Then {p.they} drives @ miles.", g, "*", w)
    s.step(f"In total {p.they} drives @ miles.", x, "+", y)
    return other(f"How many miles does {p.name} drive?", f"How far does {p.they} drive in miles?")


def ages(s):
    a, b, c = s.person(), s.person(), s.person()
    x, k, d, later = s.num(4, 15), s.num(2, 4), s.num(2, 7), s.num(2, 12)
    s.say(f"{a.name} is {x} years old.")
    s.say(f"{b.name} is {TIMES_WORD[k]} as old as {a.name}.")
    s.say(f"{c.name} is {d} years younger than {b.name}.")
    y = s.step(f"{b.name} is @ years old.", x, "*", k)
    z = s.step(f"{c.name} is @ years old.", y, "-", d)
    s.step(f"In {later} years {c.they} is @ years old.", z, "+", later)
    return other(f"How old is {c.name} in {later} years?")


def fraction_of_group(s):
    f, q = s.num(2, 5), s.num(4, 20)
    total = f * q
    d, group, place = s.num(2, 9), s.pick(GROUPS), s.pick(PLACES)
    s.person()
    s.say(f"There are {total} {group} at the {place}.", f"At a {place} there are {total} {group}.")
    s.say(f"{FRACTION[f].capitalize()} of them go home and then {d} more come.")
    x = s.step(f"Home go @ {group}.", total, "/", f)
    y = s.step(f"Then @ {group} stay.", total, "-", x)
    s.step(f"Now there are @ {group}.", y, "+", d)
    return other(f"How many {group} are there now?")


def percent_of_group(s):
    total, pc = 20 * s.num(1, 15), s.choose([10, 20, 25, 30, 40, 50, 75])
    group, place = s.pick(GROUPS), s.pick(PLACES)
    s.person()
    s.say(f"A {place} has {total} {group} and {pc}% of them wear a hat.")
    x = s.step(f"Hats are on @ {group}.", total, "*", pc, "/", 100)
    s.step(f"The others are @ {group}.", total, "-", x)
    return other(f"How many of the {group} wear no hat?")


def bake_sale(s):
    p, food = s.person(), s.pick(FOODS)
    k, m, e, price = s.num(2, 8), s.num(6, 12), s.num(2, 10), s.num(2, 5)
    s.say(f"{p.name} bakes {k} trays of {food} with {m} on each tray.", f"{p.name} bakes {k} trays of {m} {food}.")
    s.say(f"{p.They} eats {e} and sells the rest for ${price} each.", f"{p.They} gives away {e} and sells the others for ${price} each.")
    x = s.step(f"{p.name} bakes @ {food}.", k, "*", m)
    y = s.step(f"{p.They} sells @ {food}.", x, "-", e)
    s.step(f"{p.They} earns @ dollars.", y, "*", price)
    return money(p, f"How much money does {p.they} make?")


def fence(s):
    p = s.person()
    a, b, c = s.num(4, 30), s.num(3, 20), s.num(2, 6)
    s.say(f"{p.name}'s garden is {a} meters long and {b} meters wide.")
    s.say(f"A fence around it costs ${c} per meter.")
    x = s.step("Two sides are @ meters.", a, "+", b)
    y = s.step("The fence is @ meters.", 2, "*", x)
    s.step("It costs @ dollars.", y, "*", c)
    return other("How much does the fence cost?", "What does the fence cost in dollars?")


def floor_tiles(s):
    p = s.person()
    a, b, k = s.num(3, 12), s.num(3, 12), s.num(2, 8)
    s.say(f"{p.name} tiles a floor of {a} feet by {b} feet.")
    s.say(f"Every square foot takes {k} tiles.", f"{p.They} needs {k} tiles for a square foot.")
    x = s.step("The floor has @ square feet.", a, "*", b)
    s.step(f"{p.name} needs @ tiles.", x, "*", k)
    return items(p, "tiles", f"How many tiles does {p.they} need?")


def two_machines(s):
    s.person()
    noun = s.pick(THINGS)
    r, k, h = s.num(4, 30), s.num(2, 3), s.num(2, 8)
    s.say(f"An old machine makes {r} {noun} an hour, and a new one makes {TIMES_WORD[k]} as many.")
    s.say(f"Both run for {h} hours.")
    x = s.step(f"The new one makes @ {noun} an hour.", r, "*", k)
    y = s.step(f"Both make @ {noun} an hour.", r, "+", x)
    s.step(f"In {h} hours they make @ {noun}.", y, "*", h)
    return other(f"How many {noun} do they make together?")


def tank(s):
    p = s.person()
    r, out, t = s.num(6, 20), s.num(2, 5), s.num(4, 15)
    start = s.num(5, 50)
    s.say(f"{p.name}'s tank holds {start} liters of water.")
    s.say(f"Every minute {r} liters flow in and {out} liters leak out.")
    x = s.step("Each minute adds @ liters.", r, "-", out)
    y = s.step(f"In {t} minutes that is @ liters.", x, "*", t)
    s.step("The tank holds @ liters.", start, "+", y)
    return other(f"How many liters are in the tank after {t} minutes?")


def saving_goal(s):
    p, (one, _) = s.person(), s.pick(GOODS)
    w, k, have = s.num(3, 15), s.num(2, 12), s.num(5, 60)
    s.say(f"{p.name} wants a {one} that costs ${have + w * k}.")
    s.say(f"{p.They} has ${have} and saves ${w} every week.", f"{p.They} has saved ${have} and gets ${w} a week.")
    x = s.step(f"{p.name} needs @ more dollars.", have + w * k, "-", have)
    s.step("That takes @ weeks.", x, "/", w)
    return other(f"How many weeks must {p.they} save?")


def tickets(s):
    p, place = s.person(), s.pick(PLACES)
    a, x, c, y = s.num(2, 6), s.num(8, 20), s.num(2, 8), s.num(3, 9)
    s.say(f"At the {place} a ticket costs ${x} for adults and ${y} for children.")
    s.say(f"{p.name} buys tickets for {a} adults and {c} children.")
    u = s.step("The adults pay @ dollars.", a, "*", x)
    v = s.step("The children pay @ dollars.", c, "*", y)
    s.step("The tickets cost @ dollars.", u, "+", v)
    return other("How much do the tickets cost?", f"How much does {p.name} pay?")


def recipe(s):
    p, food = s.person(), s.pick(FOODS)
    n, k, e = s.num(2, 8), s.num(2, 8), s.num(2, 9)
    s.say(f"A recipe for {n} people takes {e} eggs.", f"{p.name} needs {e} eggs to bake {food} for {n} people.")
    s.say(f"{p.name} bakes for {n * k} people.")
    x = s.step("That is @ times the recipe.", n * k, "/", n)
    s.step(f"{p.name} needs @ eggs.", e, "*", x)
    return items(p, "eggs", f"How many eggs does {p.name} need?")


def hens(s):
    p = s.person()
    q, d, price = s.num(2, 9), s.choose([2, 3, 4, 6]), s.num(2, 6)
    h = 12 * q // d
    s.say(f"{p.name}'s hens lay {h} eggs a day.")
    s.say(f"After {d} days {p.they} sells all the eggs for ${price} per dozen.")
    x = s.step("The hens lay @ eggs.", h, "*", d)
    y = s.step("That is @ dozen.", x, "/", 12)
    s.step(f"{p.name} gets @ dollars.", y, "*", price)
    return money(p, f"How much money does {p.they} get?")


def legs(s):
    p = s.person()
    a, b = s.num(3, 30), s.num(3, 20)
    s.say(f"{p.name} has {a} chickens and {b} cows.", f"On {p.name}'s farm there are {a} chickens and {b} cows.")
    x = s.step("The chickens have @ legs.", a, "*", 2)
    y = s.step("The cows have @ legs.", b, "*", 4)
    s.step("Together they have @ legs.", x, "+", y)
    return other("How many legs do the animals have?")


def bus(s):
    s.person()
    a = s.num(15, 50)
    off, on = s.num(3, 14), s.num(2, 15)
    s.say(f"A bus starts with {a} people.", f"There are {a} people on a bus.")
    s.say(f"At the first stop {off} get off and {on} get on.")
    x = s.step("After the first stop there are @ people.", a, "-", off, "+", on)
    if x % 2 == 0:
        s.say("At the second stop half of them get off.")
        s.step("Then @ people are left.", x, "/", 2)
    else:
        t = s.num(2, 9)
        s.say(f"At the second stop {t} more get on.")
        s.step("Then there are @ people.", x, "+", t)
    return other("How many people are on the bus now?")


def started_with(s):
    p, noun, kin = s.person(), s.pick(THINGS), s.pick(RELATIVES)
    a, b, left = s.num(5, 40), s.num(5, 40), s.num(3, 40)
    s.say(f"{p.name} gave {a} {noun} to {p.their} {kin} and lost {b} {noun}.")
    s.say(f"Now {p.they} has {left} {noun} left.")
    x = s.step(f"Gone are @ {noun}.", a, "+", b)
    s.step(f"{p.name} had @ {noun}.", x, "+", left)
    return other(f"How many {noun} did {p.name} have at first?")


def unit_price(s):
    p, (_, many) = s.person(), s.pick(GOODS)
    k, price, n = s.num(2, 9), s.num(2, 12), s.num(2, 15)
    s.say(f"{k} {many} cost ${k * price}.", f"{p.name} pays ${k * price} for {k} {many}.")
    x = s.step("One costs @ dollars.", k * price, "/", k)
    s.step(f"Then {n} {many} cost @ dollars.", x, "*", n)
    return other(f"How much do {n} {many} cost?")


def truck(s):
    p, pack = s.person(), s.pick(PACKS)
    cap, k, w = s.num(150, 400), s.num(3, 12), s.num(4, 12)
    s.say(f"{p.name}'s truck can carry {cap} kilos.")
    s.say(f"It is loaded with {k} {pack} of {w} kilos each.")
    x = s.step(f"The {pack} weigh @ kilos.", k, "*", w)
    s.step("The truck can carry @ more kilos.", cap, "-", x)
    return other("How many more kilos can it carry?")


def homework(s):
    p = s.person()
    a, x, b, y = s.num(2, 5), s.num(3, 15), s.num(2, 6), s.num(4, 12)
    s.say(f"{p.name} has {a} math tasks that take {x} minutes each and {b} art tasks that take {y} minutes each.")
    u = s.step("Math takes @ minutes.", a, "*", x)
    v = s.step("Art takes @ minutes.", b, "*", y)
    s.step("The homework takes @ minutes.", u, "+", v)
    return other(f"How many minutes does {p.name} work?")


def practice(s):
    p = s.person()
    a, k, w = s.num(10, 45), s.num(2, 3), s.num(2, 5)
    s.say(f"{p.name} plays the piano for {a} minutes on each of the 5 weekdays and {TIMES_WORD[k]} as long on each of the 2 days of the weekend.")
    s.say(f"{p.They} does so for {w} weeks.")
    x = s.step(f"On weekdays {p.they} plays @ minutes.", a, "*", 5)
    y = s.step(f"On the weekend {p.they} plays @ minutes.", a, "*", k, "*", 2)
    z = s.step("In a week that is @ minutes.", x, "+", y)
    s.step(f"In {w} weeks that is @ minutes.", z, "*", w)
    return other(f"How many minutes does {p.they} play in total?")


def game_points(s):
    p = s.person()
    a, b, d = s.num(4, 20), s.num(3, 12), s.num(5, 25)
    s.say(f"{p.name}'s team makes {a} shots of 2 points and {b} shots of 3 points.")
    s.say(f"The other team scores {d} points.")
    x = s.step("The first shots give @ points.", a, "*", 2)
    y = s.step("The others give @ points.", b, "*", 3)
    z = s.step(f"{p.name}'s team has @ points.", x, "+", y)
    hi, lo = max(z, d), min(z, d)
    s.step("The difference is @ points.", hi, "-", lo)
    return other("What is the difference between the teams in points?")


def library(s):
    s.person()
    a, b, out, back = s.num(4, 12), s.num(6, 25), s.num(5, 24), s.num(3, 20)
    s.say(f"A library has {a} shelves with {b} books each.")
    s.say(f"Today {out} books are borrowed and {back} are returned.")
    x = s.step("The shelves hold @ books.", a, "*", b)
    y = s.step("After lending there are @ books.", x, "-", out)
    s.step("Then there are @ books.", y, "+", back)
    return other("How many books are in the library now?")


def ratio(s):
    a, b, noun = s.person(), s.person(), s.pick(THINGS)
    k, q = s.num(2, 5), s.num(3, 25)
    s.say(f"{a.name} and {b.name} share {(k + 1) * q} {noun}.")
    s.say(f"{a.name} gets {TIMES_WORD[k]} as many as {b.name}.")
    x = s.step("There are @ parts.", k, "+", 1)
    y = s.step(f"{b.name} gets @ {noun}.", (k + 1) * q, "/", x)
    s.step(f"{a.name} gets @ {noun}.", y, "*", k)
    return items(a, noun, f"How many {noun} does {a.name} get?")


SHAPES = [packs, packs_two_sizes, start_and_packs, more_or_fewer, times_and_fewer, three_days, garden_rows, wage,
          wage_two_rates, shop_change, change_simple, discount, share_packs, how_many_days, pages, distance, ages,
          fraction_of_group, percent_of_group, bake_sale, fence, floor_tiles, two_machines, tank, saving_goal, tickets,
          recipe, hens, legs, bus, started_with, unit_price, truck, homework, practice, game_points, library, ratio]
