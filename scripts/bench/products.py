#!/usr/bin/env python3
"""Checks and times the products of sm_90a on a GPU, against PyTorch in the same process.

  build/tests/cuda_products FOLDER <SPECS                  where lmnc is built
  python3 scripts/bench/products.py FOLDER [--time] [--burst] [NAME …]   where the GPU is; needs PyTorch, no lmnc

Every case: the whole result against a float32 product, results filled with NaN before, what lies around them unchanged, the
same bits a second time. --time: TFLOP/s of each beside torch.matmul's (cuBLASLt), in CUDA graphs, rounds in random order, back to
back (the card at its power cap); --burst: after an idle pause (a cool card). Exit status 1: a case is wrong.
"""
import ctypes as C
import json
import os
import random
import statistics
import sys
import time

import torch

SPACES = "pgmvaiockw"
driver = C.CDLL("libcuda.so.1")


def call(name, *arguments):
    result = getattr(driver, name)(*arguments)
    if result:
        text = C.c_char_p()
        driver.cuGetErrorString(result, C.byref(text))
        raise RuntimeError(f"{name}: {result} {text.value}")


class Kernel:
    def __init__(self, folder, name, shared):
        self.module, self.function = C.c_void_p(), C.c_void_p()
        with open(f"{folder}/kernels/{name}.cubin", "rb") as f:
            call("cuModuleLoadData", C.byref(self.module), f.read())
        call("cuModuleGetFunction", C.byref(self.function), self.module, name.encode())
        call("cuFuncSetAttribute", self.function, 8, shared)


class Launch:
    """A launch of the plan over an arena at some address."""
    kernels = {}

    def __init__(self, folder, launch, base):
        self.grid = [int(x) for x in launch["cuda"].split()]
        key = (folder, launch["kernel"], self.grid[4])
        if key not in Launch.kernels:
            Launch.kernels[key] = Kernel(folder, launch["kernel"], self.grid[4])
        self.kernel = Launch.kernels[key]
        maps, dims = launch.get("maps", []), launch.get("dims", "").split()
        args = launch["args"].split()
        room = [int(n) for n in launch["room"].split()] if "room" in launch else [len(maps), len(args), len(dims)]
        data = b"".join(self.map(text, base) for text in maps).ljust(128 * room[0], b"\0")
        data += b"".join((base + int(a[1:])).to_bytes(8, "little") for a in args).ljust(8 * room[1], b"\0")
        data += b"".join(int(d).to_bytes(8, "little") for d in dims).ljust(8 * room[2], b"\0")
        data += bytes(-len(data) % 64) if launch.get("maps") else b""
        self.data = C.create_string_buffer(data, len(data))
        self.parameters = (C.c_void_p * 1)(C.addressof(self.data))

    def map(self, text, base):
        at, *n = text.split()
        size, columns, rows, count, row_stride, stride, box_columns, box_rows, swizzle, *pieces = map(int, n)
        sizes, strides, box = [columns, rows, count], [row_stride, stride], [box_columns, box_rows, 1]
        if pieces:
            sizes.insert(1, pieces[0]), strides.insert(0, columns * size), box.insert(1, pieces[1])
        rank = len(sizes)
        raw = C.create_string_buffer(128 + 64)
        to = (C.addressof(raw) + 63) & ~63
        call("cuTensorMapEncodeTiled", C.c_void_p(to), {2: 9, 4: 7}[size], rank, C.c_void_p(base + int(at[1:])),
             (C.c_uint64 * rank)(*sizes), (C.c_uint64 * (rank - 1))(*strides), (C.c_uint32 * rank)(*box),
             (C.c_uint32 * rank)(*[1] * rank), 0, {0: 0, 32: 1, 64: 2, 128: 3}[swizzle], 3, 0)
        return C.string_at(to, 128)

    def __call__(self):
        x, y, z, threads, shared = self.grid
        stream = C.c_void_p(torch.cuda.current_stream().cuda_stream)
        call("cuLaunchKernel", self.kernel.function, x, y, z, threads, 1, 1, shared, stream, self.parameters, None)


def read_entries(folder):
    """The plan's entries, by name."""
    with open(f"{folder}/plan.json") as f:
        return {e["name"]: e for e in json.load(f)["entries"]}


def read_cases(folder, chosen):
    """The cases of the names in `chosen`; of none: all."""
    with open(f"{folder}/cases.json") as f:
        return [s for s in json.load(f) if not chosen or s["name"] in chosen]


def read_arguments(doc):
    """The folder, and the names after it."""
    words = [a for a in sys.argv[1:] if not a.startswith("--")]
    if not words or "--help" in sys.argv:
        print(doc)
        sys.exit(not words)
    return words[0], words[1:]


def checked(make, name):
    """The case that `make` makes, whether it is right, and how far it is off; the end where a kernel faults."""
    try:
        case = make()
        return (case, *case.check())
    except RuntimeError as e:
        print(f"{name:18s} {e}", flush=True)
        os._exit(1)  # nothing more runs after a kernel's fault


def check_all(specs, make, more=lambda case: ""):
    """Every case checked, a line each, which ends with what `more` says of it; ends the program."""
    torch.manual_seed(1)
    torch.empty(1, device="cuda")
    wrong = 0
    for s in specs:
        case, ok, note = checked(lambda: make(s), s["name"])
        wrong += not ok
        print(f"{s['name']:18s} {'ok' if ok else 'WRONG'}, {note}{more(case)}", flush=True)
        del case  # before the next one takes memory
    print(f"{len(specs) - wrong} of {len(specs)} are right")
    sys.exit(wrong > 0 or not specs)


def gated(x):
    gate, up = x.chunk(2, 1)
    return torch.nn.functional.silu(gate) * up


def gated_grad(dy, x):
    gate, up = (half.float() for half in x.chunk(2, 1))
    sigmoid = torch.sigmoid(gate)
    return torch.cat([dy * up * (sigmoid * (1 + gate * (1 - sigmoid))), dy * gate * sigmoid], 1).bfloat16()


def gelu_slope(x):
    u = 2 * 0.7978845608 * (x + 0.044715 * x**3)
    sigmoid = torch.sigmoid(u)
    return sigmoid + x * sigmoid * (1 - sigmoid) * 2 * 0.7978845608 * (1 + 3 * 0.044715 * x * x)


def gelu_grad(dy, x):
    return (dy.float() * gelu_slope(x.float())).bfloat16()


class Case:
    """A product with its own memory, operands random, the rest NaN."""
    def __init__(self, folder, spec, entry):
        self.spec, self.bytes = spec, entry["arena_bytes"]
        self.memory = torch.full((self.bytes // 2 + 128,), 0x7FC5, dtype=torch.int16, device="cuda").view(torch.uint8)
        s = spec
        m, n, k, pad, groups = s["m"], s["n"], s["k"], s["pad"], s["groups"]
        stack = groups if s["stacked"] else 1
        ar, ac, br, bc = (k, m, 0, 0) if s["ta"] else (m, k, 0, 0)
        br, bc = (n, k) if s["tb"] else (k, n)
        self.a = self.matrices("a", stack, ar, ac, ac + pad)
        self.b = self.matrices("b", stack, br, bc, bc + pad)
        wide, narrow = 2 * n if s["grad"] else n, n // 2 if s["glu"] and not s["grad"] else n
        self.c = self.matrices("c", stack, m, wide, wide + pad, torch.float32 if s["f32"] else torch.bfloat16)
        self.column = [self.view(at, (n,), torch.float32) for at in s["column"]]
        self.row = [self.view(at, (1 if s["lists"] else groups, m, wide), torch.bfloat16) for at in s["row"]]
        self.extra = [self.view(at, (groups, m, narrow), torch.bfloat16) for at in s["extra"]]
        scale = (k * s["pieces"]) ** -0.5
        for x in self.a + self.column + self.row:
            x.normal_()
        for x in self.b:
            x.normal_().mul_(scale)
        if s["acc"]:
            for x in self.c:
                x.normal_()
        self.launches = [Launch(folder, launch, self.memory.data_ptr()) for launch in entry["launches"]]

    def view(self, at, shape, dtype):
        count = 1
        for x in shape:
            count *= x
        size = 2 if dtype == torch.bfloat16 else 4
        return self.memory[at:at + count * size].view(dtype).view(shape)

    def matrices(self, name, stack, rows, columns, leading, dtype=torch.bfloat16):
        return [v for at in self.spec[name] for v in self.view(at, (stack, rows, leading), dtype)[:, :, :columns].unbind(0)]

    def run(self):
        for launch in self.launches:
            launch()

    def expected(self):
        s, results, extras = self.spec, [], []
        before = [c.clone() for c in self.c]
        for g in range(s["groups"]):
            total = 0
            for p in range(g * s["pieces"], (g + 1) * s["pieces"]):
                a, b = self.a[p].float(), self.b[p].float()
                total = total + (a.t() if s["ta"] else a) @ (b.t() if s["tb"] else b)
            if s["acc"]:
                total = total + before[g]
            if s["glu"]:
                gate, up = (self.row[0][g].float() if s["grad"] else total).chunk(2, 1)
                sigmoid = torch.sigmoid(gate)
                extras.append([gate * sigmoid * up] * s["extras"])
                slope = sigmoid * (1 + gate * (1 - sigmoid))
                results.append(torch.cat([total * up * slope, total * gate * sigmoid], 1) if s["grad"] else total)
                continue
            if s["gelu"]:
                total = total * gelu_slope(self.row[0][g].float())
                results.append(total)
                extras.append([])
                continue
            for kind in range(s["kinds"]):
                total = total + self.column[kind * s["groups"] + g]
            extras.append([total * (i + 2) for i in range(s["extras"])])
            for r in range(s["rows"]):
                total = total + (self.row[r * s["groups"] + g][0] if s["lists"] else self.row[r][g]).float()
            results.append(total)
        return results, extras

    def check(self):
        results, extras = self.expected()
        start = self.memory.clone()
        self.run()
        torch.cuda.synchronize()
        worst, bad, touched = 0.0, 0, start.clone()
        pairs = [(c, r, self.spec["f32"]) for c, r in zip(self.c, results)]
        pairs += [(self.extra[i][g], e[i], False) for g, e in enumerate(extras) for i in range(len(e))]
        for got, wanted, f32 in pairs:
            distance = (got.float() - wanted).abs()
            worst = max(worst, ((got.float() - wanted).norm() / wanted.norm()).item())
            bad += (~(distance <= (2e-3 if f32 else 8e-3) * wanted.abs() + 2e-3 * wanted.std() + 1e-6)).sum().item()
        for got in self.c + self.extra:  # what the product may change, as it is now
            offset = got.data_ptr() - self.memory.data_ptr()
            as_strided = touched.view(got.dtype)[offset // got.element_size():].as_strided(got.shape, got.stride())
            as_strided.copy_(got)
        values = self.spec["values_bytes"]
        outside = not torch.equal(touched[:values], self.memory[:values])
        first = self.memory[:values].clone()
        self.memory.copy_(start)
        self.run()
        torch.cuda.synchronize()
        same = torch.equal(first, self.memory[:values])
        ok = bad == 0 and same and not outside and worst < (1e-3 if self.spec["f32"] else 4e-3)
        return ok, f"error {worst:.1e}" + ("" if bad == 0 else f", {bad} wrong") + ("" if same else ", not the same twice") + (
            ", wrote elsewhere" if outside else "")

    def peer(self):
        """PyTorch's product of the same operands."""
        s = self.spec
        a, b, c = self.a[0], self.b[0], torch.empty(s["m"], s["n"], dtype=torch.bfloat16, device="cuda")
        a, b = a.t() if s["ta"] else a, b.t() if s["tb"] else b

        if s["glu"]:
            row, grad = torch.compile(gated, dynamic=False), torch.compile(gated_grad, dynamic=False)
            return lambda: grad(torch.matmul(a, b, out=c), self.row[0][0]) if s["grad"] else row(torch.matmul(a, b, out=c))
        if s["gelu"]:
            slope = torch.compile(gelu_grad, dynamic=False)
            return lambda: slope(torch.matmul(a, b, out=c), self.row[0][0])

        def go():
            torch.matmul(a, b, out=c)
            for r in self.row:
                torch.add(c, r[0], out=c)
        return go

    def flops(self):
        s = self.spec
        return 2.0 * s["m"] * s["n"] * s["k"] * s["groups"] * s["pieces"]


def graph(functions, count):
    for f in functions:
        f()
    torch.cuda.synchronize()
    g = torch.cuda.CUDAGraph()
    with torch.cuda.graph(g):
        for i in range(count):
            functions[i % len(functions)]()
    return g


def measure(graphs, count, burst):
    """Median seconds of each."""
    times = {name: [] for name in graphs}
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    for r in range(5):
        order = list(graphs.items())
        random.Random(r).shuffle(order)
        for name, g in order:
            g.replay()
            torch.cuda.synchronize()
            repeats = 1 if burst else 6
            if burst:
                time.sleep(0.06)
                g.replay()
            begin.record()
            for _ in range(repeats):
                g.replay()
            end.record()
            torch.cuda.synchronize()
            times[name].append(begin.elapsed_time(end) * 1e-3 / repeats / count)
    return {name: statistics.median(t) for name, t in times.items()}


def grid(case):
    return f", grid {[x.grid[0] for x in case.launches]}"


def time_all(specs, make, burst):
    """Every shape's cases, checked, in turns with PyTorch's product; ends the program."""
    torch.manual_seed(1)
    torch.empty(1, device="cuda")
    wrong, shapes = 0, {}
    for s in specs:
        shapes.setdefault(tuple(s[x] for x in ("m", "n", "k", "ta", "tb", "rows", "glu", "gelu", "groups", "pieces")), []).append(s)
    for shape, group in shapes.items():
        graphs, notes, keep = {}, {}, []
        for s in group:
            case, ok, note = checked(lambda: make(s), s["name"])
            cases = [case, make(s)]
            wrong += not ok
            notes[s["name"]] = ("ok, " if ok else "WRONG, ") + note + grid(case)
            count = max(6, min(60, int(4e-3 / (case.flops() / 650e12))))
            if not graphs and shape[8:] == (1, 1):
                peers = [c.peer() for c in cases]
                graphs["PyTorch"] = graph(peers, count)
                keep.append(peers)
            graphs[s["name"]] = graph([c.run for c in cases], count)
            keep.append(cases)
        seconds = measure(graphs, count, burst)
        for name, t in seconds.items():
            rate = case.flops() / t / 1e12
            ratio = f"{seconds['PyTorch'] / t:5.2f}" if "PyTorch" in seconds else ""
            print(f"{'x'.join(map(str, shape[:3])):18s} {name:16s} {t * 1e6:8.1f} us {rate:6.0f} TFLOP/s {ratio} {notes.get(name, '')}", flush=True)
        del graphs, keep, cases, case
        torch.cuda.empty_cache()
    print(f"{len(specs) - wrong} of {len(specs)} are right")
    sys.exit(wrong > 0 or not specs)


def main():
    folder, chosen = read_arguments(__doc__)
    entries, specs = read_entries(folder), read_cases(folder, chosen)
    torch.backends.cuda.matmul.allow_tf32 = False
    make = lambda s: Case(folder, s, entries[s["name"]])
    if "--time" in sys.argv:
        time_all(specs, make, "--burst" in sys.argv)
    check_all(specs, make, grid)


if __name__ == "__main__":
    main()
