"""The compose file, by docker compose 2."""

from __future__ import annotations

import unittest

from test_compose import refuse_a_typo, resolved


class Compose2(unittest.TestCase):
    def test_both_take_it_and_mean_the_same(self) -> None:
        old, new = (resolved(tool=tool)["services"] for tool in ("compose1", "docker-compose-v2"))
        self.assertEqual(set(old), set(new))
        for name, service in new.items():
            for key in ("image", "command", "entrypoint", "read_only", "environment", "scale"):
                with self.subTest(service=name, key=key):
                    self.assertEqual(old[name].get(key), service.get(key))

    def test_a_typo_is_refused(self) -> None:
        refuse_a_typo(self, "docker-compose-v2")
