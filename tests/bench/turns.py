"""The order in which the sides of a bench have their turns."""

import os


def turns(sides, rounds, work):
    """{side: [work(side) of each round]}; each round begins with another side, each piece of work after a sync."""
    results = {side: [] for side in sides}
    for number in range(rounds):
        at = number % len(sides)
        for side in [*sides[at:], *sides[:at]]:
            os.sync()
            results[side].append(work(side))
    return results
