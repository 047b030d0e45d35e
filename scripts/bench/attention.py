#!/usr/bin/env python3
"""Checks and times attention and its gradient in bf16 on a GPU, against PyTorch in the same process.

  build/tests/cuda_attention TARGET FOLDER <SPECS          where lmnc is built; SPECS: tests/cuda/attention.txt
  python3 scripts/bench/attention.py FOLDER [--time] [NAME …]   where the GPU is; needs PyTorch and products.py beside it, no lmnc

Every case: out, log-sum-exp and gradients whole against float64, results filled with NaN before, what lies around them
unchanged, the same bits a second time. --time: TFLOP/s beside PyTorch's scaled_dot_product_attention (cuDNN,
FlashAttention) in CUDA graphs, rounds in random order, of cases of one segment without starts. --beside=FOLDER: time,
instead of PyTorch's, those of another folder of the same cases, as of the state before a change. Exit status 1: a case
is wrong.
"""
import random
import statistics
import sys

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from products import Launch, check_all, read_arguments, read_cases, read_entries

BARS = {"out": 4e-3, "lse": 1e-3, "dq": 8e-3, "dk": 8e-3, "dv": 5e-3}


class Case:
    """Attention with its own memory, operands random, the rest NaN."""
    def __init__(self, folder, spec, entry):
        self.spec = s = spec
        self.memory = torch.full((entry["arena_bytes"] // 2 + 128,), 0x7FC5, dtype=torch.int16, device="cuda").view(torch.uint8)
        self.rows = s["vertices"] * s["segments"] * s["b"] * s["t"]
        self.columns = (s["heads"] + 2 * s["kv"]) * s["d"]
        self.qkv = self.view("qkv", self.columns).normal_()
        self.dout = self.view("dout", s["heads"] * s["d"]).normal_()
        self.out = self.view("out", s["heads"] * s["d"])
        self.lse = self.view("lse", s["heads"], torch.float32)
        self.dqkv = self.view("dqkv", self.columns)
        self.starts = None
        if s["starts"]:
            self.starts = self.view("starts", s["t"], torch.int32, s["b"])
            draw = random.Random(7)
            for row in self.starts:
                at = 0
                while at < s["t"]:
                    length = draw.randint(1, max(1, s["t"] // 2))
                    row[at:at + length] = at
                    at += length
        if s["turned"]:
            angles = torch.rand(s["t"], s["d"] // 2, device="cuda") * 6
            self.table = self.view("table", s["d"], torch.float32, s["t"])
            self.table.copy_(torch.cat((angles.cos(), angles.sin()), 1))
        self.launches = [Launch(folder, launch, self.memory.data_ptr()) for launch in entry["launches"]]

    def view(self, name, columns, dtype=torch.bfloat16, rows=None):
        at, rows = self.spec[name + "_at"], rows or self.rows
        return self.memory[at:at + rows * columns * dtype.itemsize].view(dtype).view(rows, columns)

    def run(self):
        for launch in self.launches:
            launch()

    def expected(self):
        s = self.spec
        v, n, b, t, h, kv, d = (s[x] for x in ("vertices", "segments", "b", "t", "heads", "kv", "d"))
        x = self.qkv.double().view(v, n, b, t, h + 2 * kv, d)
        q, k, w = (y.contiguous().requires_grad_() for y in x.split((h, kv, kv), 4))
        flat = lambda y, heads: y.permute(0, 2, 4, 1, 3, 5).reshape(v, b, heads, n * t, d)
        back = lambda y: y.view(v, b, h, n, t, -1).permute(0, 3, 1, 4, 2, 5)
        place, segment = torch.arange(t, device="cuda"), torch.arange(n, device="cuda")
        seen = (place[None, :] <= place[:, None])[None].expand(b, t, t)
        if s["starts"]:
            seen = seen & (place[None, None, :] >= self.starts[:, :, None])
        seen = ((segment[None, :] <= segment[:, None])[None, :, None, :, None] & seen[:, None, :, None, :]).reshape(b, n * t, n * t)
        scores = flat(q, h) @ flat(k, kv).repeat_interleave(h // kv, 2).transpose(-1, -2) * d ** -0.5
        scores = scores.masked_fill(~seen[None, :, None], float("-inf"))
        out = back(scores.softmax(-1) @ flat(w, kv).repeat_interleave(h // kv, 2))
        gradients = torch.autograd.grad(out, (q, k, w), self.dout.double().view(v, n, b, t, h, d))
        if s["turned"]:
            gradients = [self.turned(x) for x in gradients[:2]] + [gradients[2]]
        return out.detach(), back(scores.logsumexp(-1)[..., None])[..., 0].detach(), gradients

    def turned(self, x):
        a, b = x.chunk(2, -1)
        cosine, sine = self.table.double().view(self.spec["t"], 1, -1).chunk(2, -1)
        return torch.cat((a * cosine + b * sine, b * cosine - a * sine), -1)

    def check(self):
        s, start = self.spec, self.memory.clone()
        h, kv, d = s["heads"], s["kv"], s["d"]
        out, lse, gradients = self.expected()
        self.run()
        torch.cuda.synchronize()
        errors = {"lse": (self.lse.view_as(lse) - lse).abs().max().item()}
        parts = self.dqkv.view(*out.shape[:4], h + 2 * kv, d).split((h, kv, kv), 4)
        for name, made, right in zip(("out", "dq", "dk", "dv"), (self.out.view_as(out), *parts), (out, *gradients)):
            # of gradients that are nearly 0 (one row) the rounding of what they are made of
            errors[name] = (made.double() - right).norm().item() / max(right.norm().item(), 0.02 * right.numel() ** 0.5)
        ok = all(errors[x] < BARS[x] for x in BARS)
        once, values = self.memory.clone(), slice(0, s["values_bytes"])
        touched = once[values] != start[values]
        for x in (self.out, self.lse, self.dqkv):
            at = x.data_ptr() - self.memory.data_ptr()
            touched[at:at + x.numel() * x.itemsize] = False
        self.memory.copy_(start)
        self.run()
        torch.cuda.synchronize()
        note = ", ".join(f"{x} {errors[x]:.1e}" for x in BARS)
        if touched.any():
            ok, note = False, note + ", wrote outside of its results"
        if not torch.equal(once[values], self.memory[values]):
            ok, note = False, note + ", not the same twice"
        return ok, note

    def peers(self, backend):
        s = self.spec
        x = self.qkv.view(s["b"], s["t"], -1, s["d"]).transpose(1, 2)
        q, k, v = (y.contiguous().requires_grad_() for y in x.split((s["heads"], s["kv"], s["kv"]), 1))
        gradient = self.dout.view(s["b"], s["t"], s["heads"], s["d"]).transpose(1, 2).contiguous()
        forward = lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        with sdpa_kernel(backend):
            side = torch.cuda.Stream()
            with torch.cuda.stream(side):
                out = forward()
                backward = lambda: torch.autograd.grad(out, (q, k, v), gradient, retain_graph=True)
                backward()
                torch.cuda.synchronize()
                def inference():
                    with torch.no_grad():
                        return forward()
                return graph(inference), graph(backward)


COUNT = 20


def graph(work):
    work()
    torch.cuda.synchronize()
    recorded = torch.cuda.CUDAGraph()
    with torch.cuda.graph(recorded):
        for _ in range(COUNT):
            work()
    recorded.keep = work
    return recorded


def measure(graphs):
    seconds, events = {x: [] for x in graphs}, [torch.cuda.Event(enable_timing=True) for _ in range(2)]
    for turn in range(5):
        order = list(graphs)
        random.Random(turn).shuffle(order)
        for name in order:
            graphs[name].replay()
            events[0].record()
            graphs[name].replay()
            events[1].record()
            torch.cuda.synchronize()
            seconds[name].append(events[0].elapsed_time(events[1]) * 1e-3 / COUNT)
    return {x: statistics.median(t) for x, t in seconds.items()}


def graphs_of(case, name):
    made = {f"{name}forward": graph(case.launches[0]),
            f"{name}backward": graph(lambda: [launch() for launch in case.launches[1:]])}
    for part, launch in zip(("queries", "keys"), case.launches[1:]):
        made[f"{name}{part} backward"] = graph(launch)
    return made


def times(case, beside):
    """Lines behind that of the case."""
    s = case.spec
    products = 2 * s["vertices"] * s["b"] * s["heads"] * s["t"] ** 2 * s["d"]
    graphs = graphs_of(case, "")
    if beside:
        graphs |= graphs_of(beside, "beside ")
    elif not s["starts"]:
        for backend in (SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION):
            name = backend.name.split("_")[0]
            graphs[f"{name} forward"], graphs[f"{name} backward"] = case.peers(backend)
    lines = ""
    for name, t in measure(graphs).items():
        part = 1.25 if "keys" in name or "queries" in name else 2.5 if "backward" in name else 1
        rate = "" if s["starts"] else f"{products * part / t / 1e12:6.0f} TFLOP/s"
        lines += f"\n  {name:23s} {t * 1e6:8.1f} us {rate}"
    return lines


def main():
    folder, chosen = read_arguments(__doc__)
    other = next((x.split("=", 1)[1] for x in sys.argv if x.startswith("--beside=")), None)
    entries, others = read_entries(folder), read_entries(other) if other else {}

    def more(case):
        s = case.spec
        if "--time" not in sys.argv or s["segments"] > 1 or s["vertices"] > 1:
            return ""
        return times(case, Case(other, s, others[s["name"]]) if other else None)

    check_all(read_cases(folder, chosen), lambda s: Case(folder, s, entries[s["name"]]), more)


if __name__ == "__main__":
    main()
