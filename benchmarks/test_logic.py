# SPDX-License-Identifier: BSL-1.0
"""Tests of what decides: which measurements are made, and what the ratios say. Run by `./dev check benchmarks`."""
import pathlib
import unittest
from unittest import mock

import measure
import ratios
import table


def results_of(*rows: tuple[str, str, int, str, list[float]]) -> measure.Results:
    results = measure.Results()
    for peer, case, size, unit, values in rows:
        for repetition, value in enumerate(values):
            results.add(peer, repetition, f"{case},{size},{value},{unit}")
    return results


class Ratios(unittest.TestCase):
    def test_each_repetition_is_compared_with_itself(self):
        # Medians alone would say 100 to 50; in two of three repetitions it was twice the other.
        self.assertEqual(ratios.each_ratio({0: 100, 1: 400, 2: 20}, {0: 50, 1: 200, 2: 2}), [2, 2, 10])

    def test_a_repetition_that_one_side_lacks_does_not_count(self):
        self.assertEqual(ratios.each_ratio({0: 3, 1: 100}, {0: 1}), [3])
        self.assertEqual(ratios.each_ratio({0: 3}, {1: 1}), [])

    def test_a_bound_is_met_at_its_value(self):
        most = ratios.Bound("", ("a", "rtt", 1), ("b", "rtt", 1), at_most=1.5)
        least = ratios.Bound("", ("a", "rtt", 1), ("b", "rtt", 1), at_least=20)
        self.assertEqual([ratios.judge(most, value)[1] for value in (1.5, 1.51)], ["ok", "short"])
        self.assertEqual([ratios.judge(least, value)[1] for value in (20, 19.9)], ["ok", "short"])

    def test_near_cores_have_another_bound_against_the_line(self):
        def verdict(line):
            rows = ratios.rows(results_of(("line", "rtt", 8, "ns", [line]), ("qbipc-spin", "rtt", 48, "ns", [line * 1.9])))
            return [row[-1] for row in rows if "line" in row[0]]

        self.assertEqual(verdict(150), ["ok"])
        self.assertEqual(verdict(500), ["short"])

    def test_what_was_not_measured_has_no_line(self):
        self.assertEqual(ratios.rows(results_of(("qbipc", "rtt", 48, "ns", [200]))), [])
        self.assertEqual(ratios.text(results_of()), "")


class Plan(unittest.TestCase):
    def plan(self, knows, cases, sizes=()):
        programs = {name: pathlib.Path(name) for name in knows}
        with mock.patch.object(measure, "what_it_knows", lambda program: knows[program.name]):
            return [(item.peer, item.value) for item in measure.plan(programs, cases, list(sizes), quick=False)]

    def test_peers_take_turns_within_a_size(self):
        knows = {"stream": {"rtt": 1 << 20}, "qbipc": {"rtt": 1 << 20}}
        self.assertEqual(
            self.plan(knows, ["rtt"], (48, 64)), [("qbipc", 48), ("stream", 48), ("qbipc", 64), ("stream", 64)]
        )

    def test_who_cannot_carry_a_size_is_left_out(self):
        self.assertEqual(self.plan({"seqpacket": {"rtt": 65536}}, ["rtt"], (48, 1 << 20)), [("seqpacket", 48)])

    def test_a_word_is_beside_every_size_once(self):
        self.assertEqual(self.plan({"line": {"rtt": 8}}, ["rtt"], (48, 1024)), [("line", 8)])


class Text(unittest.TestCase):
    def test_numbers_have_the_unit_that_suits(self):
        self.assertEqual(table.number(207.4, "ns"), "207 ns")
        self.assertEqual(table.number(8_210_000, "ns"), "8.21 ms")
        self.assertEqual(table.number(12_345_678, "1/s"), "12.3 M/s")

    def test_the_middle_one_is_written(self):
        self.assertEqual(table.medians(results_of(("qbipc", "rtt", 48, "ns", [3, 1, 2])))["qbipc", "rtt", 48, "ns"], 2)


if __name__ == "__main__":
    unittest.main()
