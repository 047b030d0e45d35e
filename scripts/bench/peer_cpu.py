"""The network of examples/peer.lmn in PyTorch on the CPU, float32, random weights: what lmnc is measured against.

As fast as we could make it in PyTorch: query, key and value in one product, gate and up too; fused norms, attention and
AdamW; the vertices of a layer, which share their weights, as one batch. One JSON line: {"ms": …, "tok_s": …, …}.

  peer_cpu.py train  --shape stories15m --widths 1/2/1 -B 4 -T 128 [--edges] [--compile]
  peer_cpu.py decode --shape stories15m --widths 1/2/1 -B 1 -T 128 [--compile]      one token, T - 1 in the cache
"""
import argparse
import json
import resource
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

SHAPES = {  # hidden, feed-forward, heads, key and value heads, layers, vocabulary, bias of query, key and value, rotary base
    "stories15m": (288, 768, 6, 6, 6, 32000, False, 1e4),
    "smollm2-135m": (576, 1536, 9, 3, 30, 49152, False, 1e5),
    "qwen2.5-0.5b": (896, 4864, 14, 2, 24, 151936, True, 1e6),
}


def turn(x, cos, sin):
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat((-b, a), -1) * sin


class Layer(nn.Module):
    """A Llama decoder layer. With a cache (keys, values: [N, heads, T, head size]) the one new token is its last."""

    def __init__(self, shape):
        super().__init__()
        hidden, feed_forward, self.heads, self.kv_heads, _, _, bias, _ = shape
        self.size = hidden // self.heads
        self.norm1, self.norm2 = nn.Parameter(torch.ones(hidden)), nn.Parameter(torch.ones(hidden))
        self.qkv = nn.Linear(hidden, (self.heads + 2 * self.kv_heads) * self.size, bias=bias)
        self.out = nn.Linear(hidden, hidden, bias=False)
        self.gate_up = nn.Linear(hidden, 2 * feed_forward, bias=False)
        self.down = nn.Linear(feed_forward, hidden, bias=False)

    def forward(self, x, cos, sin, keys=None, values=None):
        n, length, hidden = x.shape
        qkv = self.qkv(F.rms_norm(x, (hidden,), self.norm1, 1e-5)).view(n, length, -1, self.size).transpose(1, 2)
        q, k, v = qkv.split((self.heads, self.kv_heads, self.kv_heads), 1)
        q, k = turn(q, cos, sin), turn(k, cos, sin)
        if keys is not None:
            keys[:, :, -1:], values[:, :, -1:] = k, v
            k, v = keys, values
        a = F.scaled_dot_product_attention(q, k, v, is_causal=keys is None, enable_gqa=self.heads != self.kv_heads)
        x = x + self.out(a.transpose(1, 2).reshape(n, length, hidden))
        gate, up = self.gate_up(F.rms_norm(x, (hidden,), self.norm2, 1e-5)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class Edge(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.layer, self.linear = Layer(shape), nn.Linear(shape[0], shape[0])

    def forward(self, x, *rest):
        return self.linear(self.layer(x, *rest))


class Network(nn.Module):
    def __init__(self, shape, widths):
        super().__init__()
        self.shape, self.widths = shape, widths
        self.embedding = nn.Parameter(torch.empty(shape[5], shape[0]))
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape[4]))
        self.norm = nn.Parameter(torch.ones(shape[0]))
        self.first = Edge(shape)
        self.edges = nn.ModuleList(
            nn.ModuleList(nn.ModuleList(Edge(shape) for _ in range(b)) for _ in range(a)) for a, b in zip(widths, widths[1:]))
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, 0, 0.02)

    def angles(self, positions):
        size = self.shape[0] // self.shape[2]
        rates = self.shape[7] ** (-torch.arange(0, size, 2).float() / size)
        angles = torch.outer(positions.float(), rates)
        angles = torch.cat((angles, angles), -1)
        return angles.cos(), angles.sin()

    def vertex(self, x, cos, sin, caches):
        for i, layer in enumerate(self.layers):
            x = layer(x, cos, sin, *caches[i])
        return F.rms_norm(x, (self.shape[0],), self.norm, 1e-5)

    def forward(self, ids, cos, sin, cache):
        """cache(key, rows): () or (keys, values)."""
        def vertices(x, l):
            return self.vertex(x, cos, sin, [cache((l, i), x.shape[0]) for i in range(len(self.layers))])

        x = self.first(F.embedding(ids, self.embedding), cos, sin, *cache("first", ids.shape[0]))
        states = [vertices(x, 0)]
        for l, rows in enumerate(self.edges):
            inputs = [
                torch.stack([rows[i][j](states[i], cos, sin, *cache((l, i, j), ids.shape[0])) for i in range(len(rows))]).mean(0)
                for j in range(self.widths[l + 1])]
            states = list(vertices(torch.cat(inputs), l + 1).chunk(len(inputs)))
        return states[0]


def median_seconds(run, count):
    run(), run()
    seconds = []
    for _ in range(count):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return sorted(seconds)[count // 2]


def train(network, a):
    if a.edges:
        for part in ([network.embedding, network.norm], network.layers.parameters()):
            for parameter in part:
                parameter.requires_grad = False
    vocabulary = network.shape[5]
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=1e-5, fused=True)
    ids = torch.randint(0, vocabulary, (a.batch, a.length))
    labels = torch.roll(ids, -1, 1).view(-1)
    cos, sin = network.angles(torch.arange(a.length))

    def step():
        hidden = network(ids, cos, sin, lambda key, rows: ())
        F.cross_entropy(F.linear(hidden, network.embedding).view(-1, vocabulary), labels).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return median_seconds(step, a.repeat), a.batch * a.length


def decode(network, a):
    _, _, heads, kv_heads, _, vocabulary, _, _ = network.shape
    caches = {}

    def cache(key, rows):
        if key not in caches:
            shape = (rows, kv_heads, a.length, network.shape[0] // heads)
            caches[key] = torch.randn(shape), torch.randn(shape)
        return caches[key]

    ids = torch.randint(0, vocabulary, (a.batch, 1))
    cos, sin = network.angles(torch.tensor([a.length - 1]))
    with torch.no_grad():
        run = lambda: F.linear(network(ids, cos, sin, cache), network.embedding).argmax(-1)
        return median_seconds(run, a.repeat), a.batch


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("mode", choices=("train", "decode"))
    p.add_argument("--shape", default="stories15m", choices=SHAPES)
    p.add_argument("--widths", default="1/2/1", type=lambda text: [int(x) for x in text.split("/")])
    p.add_argument("-B", dest="batch", type=int, default=4)
    p.add_argument("-T", dest="length", type=int, default=128)
    p.add_argument("--edges", action="store_true", help="the model is frozen")
    p.add_argument("--compile", action="store_true", help="torch.compile, every layer")
    p.add_argument("-n", dest="repeat", type=int, default=5)
    p.add_argument("--threads", type=int, default=0)
    a = p.parse_args()
    if a.threads:
        torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    network = Network(SHAPES[a.shape], a.widths)
    if a.compile:
        for module in network.modules():
            if isinstance(module, (Layer, Edge)):
                module.compile(dynamic=False)
    seconds, tokens = (train if a.mode == "train" else decode)(network, a)
    print(json.dumps({"mode": a.mode, "shape": a.shape, "widths": a.widths, "B": a.batch, "T": a.length, "edges": a.edges,
                      "compiled": a.compile, "threads": torch.get_num_threads(), "ms": round(seconds * 1e3, 3),
                      "tok_s": round(tokens / seconds, 1),
                      "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


if __name__ == "__main__":
    main()
