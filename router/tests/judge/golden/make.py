"""Writes absolute.txt, relative.txt and gate.txt beside itself: random streams of events and what the reference says of
them. The reference is a Python file with the classes Absolute, Relative and Gate, plain implementations of the formulas
that the documentation of router/src/judge gives; it is not part of this repository. tests/judge/main.rs replays the streams.

    python3 router/tests/judge/golden/make.py path/to/judge.py

Lines: a stream begins with its kind, its parameter and a seed. `d id rows` dispatches, `b id bad-rows seconds` tells of
bad rows, `e id` ends; `x track rows [weight of each bad row]...`; `g rows bad-rows`; `= log [bad executions, epochs]` is what is expected here."""
import importlib.util, pathlib, random, sys

spec = importlib.util.spec_from_file_location("judge", sys.argv[1])
judge = importlib.util.module_from_spec(spec)
spec.loader.exec_module(judge)
here = pathlib.Path(__file__).parent


def rows_of(kind, rng, i):
    return (1, 32, rng.randint(1, 64), 1 + i // 3, rng.choice((1, 1, 1, 8, 64)), rng.randint(1, 4))[kind]


def absolute(seed):
    rng = random.Random(seed)
    p0 = (0.01, 0.05, 0.02, 0.4, 0.001)[seed % 5]
    test, now, flight, lines, most = judge.Absolute(p0), 0.0, {}, [f"absolute {p0} {seed}"], rng.choice((1, 4, 16))
    rate, turn = rng.choice((p0 / 2, p0, 5 * p0, 1.0)), rng.randint(20, 80)
    for i in range(90):
        if i == turn: rate = rng.choice((0.0, 0.3, 1.0))
        now = round(now + rng.expovariate(4.0), 3)
        rows = rows_of(seed % 6, rng, i)
        test.dispatch(i, rows); flight[i] = (rows, 0); lines.append(f"d {i} {rows}")
        while flight and (len(flight) >= most or rng.random() < 0.3):
            id = rng.choice(list(flight)); size, known = flight[id]
            bad = sum(rng.random() < min(rate, 1.0) for _ in range(size))
            if rng.random() < 0.2: bad = size if bad else 0
            for part in (bad // 2, bad // 3, bad):        # told in steps, once with less than was known
                if bad and (part or rng.random() < 0.1):
                    now = round(now + 0.01 * rng.random(), 4)
                    test.bad_so_far(id, part / size, now); lines.append(f"b {id} {part} {now}")
            if rng.random() < 0.8: test.end(id); del flight[id]; lines.append(f"e {id}")
        if i % 6 == 5: lines.append(f"= {test.log_e()!r} {test.bad} {test.epochs}")
    return lines


def relative(seed):
    rng = random.Random(seed)
    rho = (1.0, 1.5, 2.0, 1.2)[seed % 4]
    test, lines, weight, times = judge.Relative(rho), [f"relative {rho} {seed}"], 0.01, rng.choice((1, rho, 4))
    for i in range(80):
        if i % 20 == 19: weight = rng.choice((0.0, 0.1, 0.5, 0.9999, 1.0))
        track = "canary" if rng.random() < weight else "stable"
        rows = rows_of(seed % 6, rng, i)
        rate = min(0.1 * (times if track == "canary" else 1), 1)
        bad = [weight if rng.random() < 0.9 else 0.01 for _ in range(rows) if rng.random() < rate]
        test.executed(track, rows, bad); lines.append(" ".join(["x", track, str(rows), *map(str, bad)]))
        if i % 8 == 7: lines.append(f"= {test.log_e()!r}")
    return lines


def gate(seed):
    rng = random.Random(seed)
    p0 = (0.01, 0.05, 0.4, 0.001)[seed % 4]
    test, lines, rate = judge.Gate(p0), [f"gate {p0} {seed}"], rng.choice((0.0, p0 / 4, p0, 0.5))
    for i in range(100):
        rows = rows_of(seed % 6, rng, i)
        bad = sum(rng.random() < rate for _ in range(rows))
        test.executed(rows, bad / rows); lines.append(f"g {rows} {bad}")
        if i % 10 == 9: lines.append(f"= {test.log_g()!r}")
    return lines


for make, seeds in ((absolute, 30), (relative, 12), (gate, 12)):
    lines = [line for seed in range(seeds) for line in make(seed)]
    (here / f"{make.__name__}.txt").write_text("\n".join(lines) + "\n")
