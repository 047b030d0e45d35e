#!/usr/bin/env python3
"""Checks and times row kernels, sums by columns, rotations, losses and gradients of embeddings of sm_90a on a GPU, against
PyTorch in float64.

  build/tests/cuda_rows FOLDER <tests/cuda/rows.txt         where lmnc is built
  python3 scripts/bench/rows.py FOLDER [--time] [NAME …]    where the GPU is; needs PyTorch and products.py beside it, no lmnc

Every case: all results, filled with NaN before, what lies around them unchanged, the same bits a second time. --time:
microseconds and TB/s of what has to be read and written, from memory. Exit status 1: a case is wrong.
"""
import statistics
import sys

import torch

from products import Launch, check_all, read_arguments, read_cases, read_entries

EPS = 1e-5


class Case:
    """The values of a case, operands random, the rest NaN."""
    def __init__(self, folder, spec, entry):
        self.spec = spec
        self.memory = torch.full((entry["arena_bytes"] // 2 + 128,), 0x7FC5, dtype=torch.int16, device="cuda").view(torch.uint8)
        self.operand, self.result = {}, {}
        for v in spec["values"]:
            dtype = {"bf16": torch.bfloat16, "f32": torch.float32, "i32": torch.int32}[v["type"]]
            shape = (v["rows"], v["columns"]) if v["rows"] else (v["columns"],)
            count = max(v["rows"], 1) * v["columns"] * dtype.itemsize
            view = self.memory[v["at"]:v["at"] + count].view(dtype).view(shape)
            (self.operand if v["role"] == "operand" else self.result)[v["name"]] = view
            if v["role"] == "operand" and dtype == torch.int32:
                view.random_(0, spec["vocabulary"])
                view[:, ::7] = 1  # the same often
            elif v["role"] == "operand":
                view.normal_()
                if v["name"].startswith("rstd"):
                    view.abs_().add_(0.5)
        if spec["kind"] == "loss":
            self.labels()
        self.bytes = sum(x.numel() * x.element_size() for x in [*self.operand.values(), *self.result.values()])
        self.launches = [Launch(folder, launch, self.memory.data_ptr()) for launch in entry["launches"]]

    def run(self):
        for launch in self.launches:
            launch()

    def of_group(self, name, g, shared=False):
        """The rows or scalars of a group."""
        s = self.spec
        if s["reads"]:
            return self.operand[f"{name}{g // s['reads'] if shared else g}"].double()
        return self.operand[f"{name}0"].double().view(s["groups"], s["group_rows"], *self.operand[f"{name}0"].shape[1:])[g]

    def vector(self, name, g):
        return self.operand[f"{name}{g}"].double()

    def norm(self, g, layer):
        x = self.of_group("x", g, True)
        mean = x.mean(1, keepdim=True) if layer else torch.zeros_like(x[:, :1])
        rstd = ((x - mean).square().mean(1, keepdim=True) + EPS).rsqrt()
        y = (x - mean) * rstd * self.vector("w", g)
        return (y + self.vector("b", g) if layer else y), rstd[:, 0], mean[:, 0]

    def norm_dx(self, g, layer):
        dy, x, rstd = self.of_group("dy", g), self.of_group("x", g, True), self.of_group("rstd", g, True)[:, None]
        n = (x - self.of_group("mean", g, True)[:, None] if layer else x) * rstd
        scaled = dy * self.vector("w", g)
        dx = scaled - n * (scaled * n).mean(1, keepdim=True)
        if layer:
            dx = dx - scaled.mean(1, keepdim=True)
        return dx * rstd, (dy * n).sum(0), dy.sum(0)

    def logits(self):
        """As they are stored."""
        hidden = self.operand["hidden0"]
        return (hidden.double() @ self.operand["weight0"].double().t()).to(hidden.dtype)

    def labels(self):
        """A third of them right, some of them none."""
        logits, labels = self.logits(), self.operand["labels0"][0]
        first = (logits == logits.amax(1, keepdim=True)).int().argmax(1).int()
        labels[::3] = first[::3]
        labels[::5] = -100
        self.operand["scale0"].abs_()

    def loss(self):
        s, logits, labels = self.spec, self.logits().double(), self.operand["labels0"][0].long()
        smoothing, scale, counted = 0.1 if s["smooth"] else 0.0, self.operand["scale0"].double(), labels >= 0
        clamped = labels.clamp(min=0)[:, None]
        wanted = torch.full_like(logits, smoothing / s["vocabulary"])
        wanted.scatter_add_(1, clamped, torch.full_like(wanted[:, :1], 1 - smoothing))
        log = logits.log_softmax(1)
        target, columns = logits.gather(1, clamped), torch.arange(logits.shape[1], device="cuda")
        first = ~((logits > target) | ((logits == target) & (columns < clamped))).any(1)
        gradient = ((log.exp() - wanted) * scale * counted[:, None]).to(self.operand["hidden0"].dtype).double()
        return {"loss": -((log * wanted).sum(1) * counted).sum() * scale, "right": (first & counted).sum().double()[None],
                "dhidden": gradient @ self.operand["weight0"].double(), "dweight": gradient.t() @ self.operand["hidden0"].double()}

    def rope(self):
        s, x = self.spec, self.operand["x0"].double().clone()
        table = self.operand["table0"].double().repeat(s["groups"], 1)[:, None]
        cosine, sine = table.chunk(2, 2)
        a, b = x[:, :s["heads"] * 64].view(-1, s["heads"], 64).chunk(2, 2)
        sine = -sine if s["inverse"] else sine
        x[:, :s["heads"] * 64] = torch.cat([a * cosine - b * sine, b * cosine + a * sine], 2).flatten(1)
        return x

    def embed_grad(self):
        s, dy = self.spec, self.operand["dy0"].double().view(self.spec["groups"], -1, self.spec["columns"])
        table = torch.zeros(s["vocabulary"], s["columns"], dtype=torch.double, device="cuda")
        return table.index_add_(0, self.operand["ids0"].flatten().long(), dy[:, s["others"]:].flatten(0, 1))

    def expected(self):
        s, want = self.spec, {}
        groups, kind = range(s["groups"]), s["kind"]
        if kind == "loss":
            return self.loss()
        if kind in ("rope", "embed_grad"):
            return {"y": self.rope()} if kind == "rope" else {"dtable": self.embed_grad()}
        others = sum(self.operand[f"r{i}"].double() for i in range(s["others"]))
        if kind in ("rms", "layer"):
            made = [self.norm(g, kind == "layer") for g in groups]
            want["y"] = torch.cat([m[0] for m in made])
            once = made[::s["reads"]] if s["reads"] else made
            want["rstd"], want["mean"] = torch.cat([m[1] for m in once]), torch.cat([m[2] for m in once])
        elif kind == "sum":
            want["y"] = others
        elif kind == "column":
            want.update({f"db{g}": self.of_group("dy", g).sum(0) for g in groups})
        else:
            made = [self.norm_dx(g, kind == "layer_dx") for g in groups]
            want["y"] = torch.cat([m[0] for m in made]) + others
            for g, (_, dw, db) in enumerate(made):
                want[f"dw{g}"], want[f"db{g}"] = dw, db
                want[f"dout{g}"] = want["y"].view(s["groups"], s["group_rows"], -1)[g].sum(0)
        return want

    def check(self):
        want = self.expected()
        start = self.memory.clone()
        self.run()
        torch.cuda.synchronize()
        worst, wrong = 0.0, []
        for name, got in self.result.items():
            wanted, rounded = want[name], got.dtype == torch.bfloat16
            error = ((got.double() - wanted).norm() / (wanted.norm() + 1e-30)).item()
            # A sum of a result that was stored as bf16 may be one of what was stored.
            bar = 3e-3 if rounded else 3e-3 if name.startswith("dout") and self.result["y"].dtype == torch.bfloat16 else 3e-6
            if self.spec["kind"] == "loss":  # logits and their gradients may be rounded another way
                bar = 2e-2 if name == "right" else 3e-3 if self.operand["hidden0"].dtype == torch.bfloat16 else 2e-5
            worst = max(worst, error / bar)
            if not error <= bar:
                wrong.append(f"{name} {error:.1e}")
        first, size = self.memory.clone(), self.spec["values_bytes"]
        self.memory.copy_(start)
        self.run()
        torch.cuda.synchronize()
        same = torch.equal(first[:size], self.memory[:size])
        kept = all(torch.equal(first[o:o + n], start[o:o + n]) for o, n in self.strips())
        ok = not wrong and same and kept
        return ok, f"{worst:.2f} of the bar" + "".join(f", {w} wrong" for w in wrong) + ("" if same else ", not the same twice") + (
            "" if kept else ", wrote elsewhere")

    def strips(self):
        """What lies behind each value, up to where the next may begin."""
        for v in self.spec["values"]:
            end = v["at"] + max(v["rows"], 1) * v["columns"] * (2 if v["type"] == "bf16" else 4)
            yield end, (v["at"] - end) % 256 + 256


def seconds(cases):
    for c in cases:
        c.run()
    torch.cuda.synchronize()
    graph, count = torch.cuda.CUDAGraph(), 4 * len(cases)
    with torch.cuda.graph(graph):
        for i in range(count):
            cases[i % len(cases)].run()
    begin, end, times = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True), []
    for _ in range(5):
        begin.record()
        graph.replay()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end) * 1e-3 / count)
    return statistics.median(times)


def speed(case, make):
    """As of as many copies as are not in the cache together."""
    t = seconds([case] + [make(case.spec) for _ in range(min(64, int(2e8 / case.bytes)))])
    return f", {t * 1e6:.1f} us, {case.bytes / t / 1e12:.2f} TB/s"


def main():
    folder, chosen = read_arguments(__doc__)
    entries = read_entries(folder)
    make = lambda s: Case(folder, s, entries[s["name"]])
    check_all(read_cases(folder, chosen), make, lambda case: speed(case, make) if "--time" in sys.argv else "")


if __name__ == "__main__":
    main()
