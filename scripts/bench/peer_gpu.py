"""The networks of scripts/bench/gpu in PyTorch on one GPU, random weights at real shapes: what lmnc is measured against.

As fast as we could make it in PyTorch: bf16 weights, query, key and value in one product, gate and up too, flash
attention, the head's loss in chunks, fused AdamW; the vertices of a layer, which share their weights, as one batch; every
layer through torch.compile; with --graph the whole step as one CUDA graph. One JSON line: {"ms": …, "tok_s": …, …}.

  peer_gpu.py peer --shape qwen2.5-0.5b --widths 1/4/4/4/1 -B 8 -T 1024 [--edges] [--checkpoint] [--graph]
  peer_gpu.py e2e  --shape gpt2-medium -B 8 -T 512 --edges [--graph]        examples/e2e.lmn: vectors before the rows
  peer_gpu.py one  --shape gpt2 -B 8 -T 1024 [--graph]                      one vertex, the plain model
"""
import time

BEGAN = time.perf_counter()

import argparse
import json

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

SHAPES = {  # hidden, feed-forward, heads, key and value heads, layers, vocabulary, bias of query, key and value, rotary base
    "stories15m": (288, 768, 6, 6, 6, 32000, False, 1e4),
    "smollm2-135m": (576, 1536, 9, 3, 30, 49152, False, 1e5),
    "qwen2.5-0.5b": (896, 4864, 14, 2, 24, 151936, True, 1e6),
    "gpt2": (768, 3072, 12, 12, 12, 50257, True, None),
    "gpt2-medium": (1024, 4096, 16, 16, 24, 50257, True, None),
}
PREFIX, POSITIONS, SMOOTHING = 8, 1024, 0.1  # of examples/e2e.lmn


def turn(x, cos, sin):
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat((-b, a), -1) * sin


class Llama(nn.Module):
    def __init__(self, shape):
        super().__init__()
        hidden, feed_forward, self.heads, self.kv_heads, _, _, bias, _ = shape
        self.size = hidden // self.heads
        self.norm1, self.norm2 = nn.Parameter(torch.ones(hidden)), nn.Parameter(torch.ones(hidden))
        self.qkv = nn.Linear(hidden, (self.heads + 2 * self.kv_heads) * self.size, bias=bias)
        self.out = nn.Linear(hidden, hidden, bias=False)
        self.gate_up = nn.Linear(hidden, 2 * feed_forward, bias=False)
        self.down = nn.Linear(feed_forward, hidden, bias=False)

    def forward(self, x, cos, sin):
        n, length, hidden = x.shape
        qkv = self.qkv(F.rms_norm(x, (hidden,), self.norm1, 1e-6)).view(n, length, -1, self.size).transpose(1, 2)
        q, k, v = qkv.split((self.heads, self.kv_heads, self.kv_heads), 1)
        q, k = turn(q, cos, sin), turn(k, cos, sin)
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=self.heads != self.kv_heads)
        x = x + self.out(a.transpose(1, 2).reshape(n, length, hidden))
        gate, up = self.gate_up(F.rms_norm(x, (hidden,), self.norm2, 1e-6)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class Attention(nn.Module):
    def __init__(self, hidden, heads):
        super().__init__()
        self.heads, self.qkv, self.out = heads, nn.Linear(hidden, 3 * hidden), nn.Linear(hidden, hidden)

    def forward(self, x):
        n, length, hidden = x.shape
        q, k, v = (t.view(n, length, self.heads, -1).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        return self.out(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(n, length, hidden))


class GPT2(nn.Module):
    def __init__(self, shape):
        super().__init__()
        hidden, feed_forward, heads = shape[:3]
        self.norm1, self.norm2 = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        self.attention = Attention(hidden, heads)
        self.up, self.down = nn.Linear(hidden, feed_forward), nn.Linear(feed_forward, hidden)

    def forward(self, x, cos, sin):
        x = x + self.attention(self.norm1(x))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class Edge(nn.Module):
    """decoder_layer then linear."""

    def __init__(self, shape):
        super().__init__()
        self.layer, self.linear = Llama(shape), nn.Linear(shape[0], shape[0])

    def forward(self, x, cos, sin):
        return self.linear(self.layer(x, cos, sin))


class Message(nn.Module):
    """residual(attention) then residual(layer_norm then linear then gelu)."""

    def __init__(self, shape):
        super().__init__()
        self.attention, self.norm = Attention(shape[0], shape[2]), nn.LayerNorm(shape[0])
        self.linear = nn.Linear(shape[0], shape[0])

    def forward(self, x, cos, sin):
        x = x + self.attention(x)
        return x + F.gelu(self.linear(self.norm(x)), approximate="tanh")


class Network(nn.Module):
    def __init__(self, a):
        super().__init__()
        shape = self.shape = SHAPES[a.shape]
        self.kind, self.widths, self.again = a.network, a.widths, a.checkpoint
        self.llama = shape[7] is not None
        self.embedding = nn.Parameter(torch.empty(shape[5], shape[0]))
        self.positions = None if self.llama else nn.Parameter(torch.empty(POSITIONS, shape[0]))
        self.layers = nn.ModuleList((Llama if self.llama else GPT2)(shape) for _ in range(shape[4]))
        self.norm, self.norm_bias = nn.Parameter(torch.ones(shape[0])), None
        if not self.llama:
            self.norm_bias = nn.Parameter(torch.zeros(shape[0]))
        edge = {"peer": Edge, "e2e": Message, "one": None}[a.network]
        self.prefix = nn.Parameter(torch.empty(PREFIX, shape[0]), requires_grad=False) if a.network == "e2e" else None
        self.first = nn.ModuleList(edge(shape) for _ in range({"peer": 1, "e2e": 3, "one": 0}[a.network]))
        self.edges = nn.ModuleList(
            nn.ModuleList(nn.ModuleList(edge(shape) for _ in range(n)) for _ in range(m))
            for m, n in zip(self.widths, self.widths[1:]))
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, 0, 0.02)

    def angles(self, length, device):
        if not self.llama:
            return None, None
        size = self.shape[0] // self.shape[2]
        rates = self.shape[7] ** (-torch.arange(0, size, 2, device=device).float() / size)
        angles = torch.outer(torch.arange(length, device=device).float(), rates)
        angles = torch.cat((angles, angles), -1)
        return angles.cos().bfloat16(), angles.sin().bfloat16()

    def vertex(self, x, cos, sin):
        for layer in self.layers:
            x = checkpoint(layer, x, cos, sin, use_reentrant=False) if self.again else layer(x, cos, sin)
        if self.llama:
            return F.rms_norm(x, x.shape[-1:], self.norm, 1e-6)
        return F.layer_norm(x, x.shape[-1:], self.norm, self.norm_bias)

    def forward(self, ids, cos, sin):
        x = F.embedding(ids, self.embedding)
        if self.prefix is not None:
            x = torch.cat((self.prefix.expand(ids.shape[0], -1, -1), x), 1)
        if self.positions is not None:
            x = x + self.positions[:x.shape[1]]
        for edge in self.first:
            x = edge(x, cos, sin)
        states = [self.vertex(x, cos, sin)]
        began = states[0]
        for rows in self.edges:
            inputs = [sum(rows[i][j](states[i], cos, sin) for i in range(len(rows))) for j in range(len(rows[0]))]
            if self.kind == "peer":
                inputs = [x / len(rows) for x in inputs]
            states = list(self.vertex(torch.cat(inputs), cos, sin).chunk(len(inputs)))
        hidden = states[0] + began if self.kind == "e2e" else states[0]
        return hidden[:, PREFIX:] if self.prefix is not None else hidden


def chunk_loss(hidden, weight, labels, smoothing):
    return F.cross_entropy(F.linear(hidden, weight).float(), labels, reduction="sum", label_smoothing=smoothing)


def loss_of(hidden, weight, labels, smoothing, chunks=4):
    total = 0.0
    for h, y in zip(hidden.reshape(-1, hidden.shape[-1]).chunk(chunks), labels.view(-1).chunk(chunks)):
        total = total + checkpoint(chunk_loss, h, weight, y, smoothing, use_reentrant=False)
    return total / labels.numel()


def make_step(network, a):
    if a.edges:
        for part in ([network.embedding, network.norm, network.norm_bias, network.positions], network.layers.parameters()):
            for parameter in part:
                if parameter is not None:
                    parameter.requires_grad = False
    vocabulary = network.shape[5]
    trained = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, fused=True, capturable=a.graph)
    ids = torch.randint(0, vocabulary, (a.batch, a.length), device="cuda")
    labels = torch.roll(ids, -1, 1)
    cos, sin = network.angles(a.length, ids.device)

    def step():
        loss = loss_of(network(ids, cos, sin), network.embedding, labels, SMOOTHING if a.network == "e2e" else 0.0)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def recorded(step):
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def median_seconds(run, count):
    run(), run()
    seconds = []
    for _ in range(count):
        torch.cuda.synchronize()
        began = time.perf_counter()
        run()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return sorted(seconds)[count // 2]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("network", choices=("peer", "e2e", "one"))
    p.add_argument("--shape", default="stories15m", choices=SHAPES)
    p.add_argument("--widths", default="1/2/1", type=lambda text: [int(x) for x in text.split("/")])
    p.add_argument("-B", dest="batch", type=int, default=4)
    p.add_argument("-T", dest="length", type=int, default=128)
    p.add_argument("--edges", action="store_true", help="the model is frozen")
    p.add_argument("--checkpoint", action="store_true", help="layers of vertices are computed again instead of kept")
    p.add_argument("--eager", action="store_true", help="without torch.compile")
    p.add_argument("--graph", action="store_true", help="the step as one CUDA graph")
    p.add_argument("-n", dest="repeat", type=int, default=5)
    a = p.parse_args()
    if a.network == "one":
        a.widths = [1]
    torch.manual_seed(0)
    torch.set_default_device("cuda")
    network = Network(a).bfloat16()
    if not a.eager:
        for module in network.modules():
            if isinstance(module, (Llama, GPT2, Message)):
                module.compile(dynamic=False)
    said = {"network": a.network, "shape": a.shape, "widths": a.widths, "B": a.batch, "T": a.length, "edges": a.edges,
            "graph": a.graph, "device": torch.cuda.get_device_name()}
    try:
        step = make_step(network, a)
        step()
        torch.cuda.synchronize()
        said["first_s"] = round(time.perf_counter() - BEGAN, 2)
        seconds = median_seconds(recorded(step) if a.graph else step, a.repeat)
        said.update(ms=round(seconds * 1e3, 3), tok_s=round(a.batch * a.length / seconds, 1),
                    device_bytes=torch.cuda.max_memory_allocated())
    except torch.OutOfMemoryError:
        said["oom"] = True
    print(json.dumps(said))


if __name__ == "__main__":
    main()
