"""Tails: one more event and one more step, hung onto what a shape has found. None where it does not fit."""

from shapes import items, money, other
from words import FRACTION, GOODS, RELATIVES, THINGS, TIMES_WORD


def give_away(s, f):
    if s.value < 12:
        return None
    d, kin = s.num(2, 11), s.pick(RELATIVES)
    s.say(f"Then {f.who.they} gives {d} {f.noun} to {f.who.their} {kin}.", f"{f.who.name} gives {d} {f.noun} to a {kin}.")
    s.step(f"{f.who.name} keeps @ {f.noun}.", s.value, "-", d)
    return items(f.who, f.noun, f"How many {f.noun} does {f.who.name} have left?")


def get_more(s, f):
    d = s.num(3, 40)
    s.say(f"Then {f.who.they} gets {d} more {f.noun}.", f"{f.who.name} finds {d} more {f.noun}.")
    s.step(f"Then {f.who.they} has @ {f.noun}.", s.value, "+", d)
    return items(f.who, f.noun)


def give_fraction(s, f):
    fits = [k for k in (2, 3, 4, 5) if s.value % k == 0 and s.value >= 2 * k]
    if not fits:
        return None
    k = s.choose(fits)
    s.numbers[-1] = k
    s.say(f"{f.who.They} gives away {FRACTION[k]} of the {f.noun}.", f"{f.who.name} loses {FRACTION[k]} of them.")
    v = s.value
    x = s.step(f"Gone are @ {f.noun}.", v, "/", k)
    s.step(f"{f.who.name} keeps @ {f.noun}.", v, "-", x)
    return items(f.who, f.noun, f"How many {f.noun} does {f.who.name} have left?")


def repack(s, f):
    fits = [k for k in range(2, 10) if s.value % k == 0 and s.value > k]
    if not fits:
        return None
    k = s.choose(fits)
    s.numbers[-1] = k
    s.say(f"{f.who.They} puts them into {k} equal piles.", f"{f.who.name} sorts all {f.noun} into {k} equal groups.")
    s.step(f"In each there are @ {f.noun}.", s.value, "/", k)
    return other(f"How many {f.noun} are in each?")


def sell(s, f):
    if s.value > 99:
        return None
    price = s.num(2, 6)
    s.say(f"{f.who.They} sells all the {f.noun} for ${price} each.", f"{f.who.name} sells them all at ${price} each.")
    s.step(f"{f.who.name} gets @ dollars.", s.value, "*", price)
    return money(f.who, f"How much money does {f.who.they} get?")


def friend_has_times(s, f):
    if s.value > 99:
        return None
    k, q = s.num(2, 4), s.person()
    s.say(f"{q.name} has {TIMES_WORD[k]} as many {f.noun} as {f.who.name}.")
    s.step(f"{q.name} has @ {f.noun}.", s.value, "*", k)
    return items(q, f.noun, f"How many {f.noun} does {q.name} have?")


def spend(s, f):
    if s.value < 15:
        return None
    d = s.num(4, 14)
    s.say(f"Then {f.who.they} spends ${d} on lunch.", f"{f.who.name} pays ${d} for the bus.")
    s.step(f"{f.who.They} has @ dollars left.", s.value, "-", d)
    return money(f.who, f"How much money does {f.who.name} have left?")


def earn_more(s, f):
    d = s.num(5, 60)
    s.say(f"Then {f.who.they} gets ${d} more.", f"{f.who.name}'s mother adds ${d}.")
    s.step(f"Then {f.who.they} has @ dollars.", s.value, "+", d)
    return money(f.who)


def spend_share(s, f):
    fits = [k for k in (2, 3, 4, 5) if s.value % k == 0]
    if not fits:
        return None
    k = s.choose(fits)
    s.numbers[-1] = k
    s.say(f"{f.who.They} saves {FRACTION[k]} of the money.", f"{f.who.name} puts {FRACTION[k]} of it in the bank.")
    s.step(f"{f.who.name} saves @ dollars.", s.value, "/", k)
    return other(f"How many dollars does {f.who.name} save?")


def spend_percent(s, f):
    fits = [p for p in (10, 20, 25, 50) if s.value * p % 100 == 0]
    if not fits:
        return None
    p = s.choose(fits)
    s.numbers[-1] = p
    s.say(f"{f.who.They} spends {p}% of it.", f"{f.who.name} gives {p}% of the money away.")
    v = s.value
    x = s.step("That is @ dollars.", v, "*", p, "/", 100)
    s.step(f"{f.who.name} has @ dollars left.", v, "-", x)
    return money(f.who, f"How much money does {f.who.name} have left?")


def buy_with_it(s, f):
    fits = [k for k in range(2, 10) if s.value % k == 0]
    if not fits:
        return None
    k, (one, many) = s.choose(fits), s.pick(GOODS)
    s.numbers[-1] = k
    s.say(f"With all the money {f.who.they} buys {many} for ${k} each.", f"A {one} costs ${k} and {f.who.name} spends everything on {many}.")
    s.step(f"{f.who.name} buys @ {many}.", s.value, "/", k)
    return items(f.who, many, f"How many {many} does {f.who.name} buy?")


def friend_earns(s, f):
    d, sign, q = s.num(2, 14), s.choose("+-"), s.person()
    if sign == "-" and s.value < 15:
        return None
    s.say(f"{q.name} has ${d} {'more' if sign == '+' else 'less'} than {f.who.name}.")
    s.step(f"{q.name} has @ dollars.", s.value, sign, d)
    return money(q, f"How much money does {q.name} have?")


TAILS = {
    "items": [give_away, get_more, give_fraction, repack, sell, friend_has_times],
    "money": [spend, earn_more, spend_share, spend_percent, buy_with_it, friend_earns],
    "other": [],
}
