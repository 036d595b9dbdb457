# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Windows, deformable attention and DAT-T against definitions written out the long way."""

import itertools

import pytest

torch = pytest.importorskip('torch', reason='torch is not installed: training extra')

from edgevl_training.students.dat import DAT  # noqa: E402, I100
from edgevl_training.students.deformable import (  # noqa: E402
    DeformableAttention,
    OFFSET_RANGE,
    reference_grid,
)
from edgevl_training.students.windows import (  # noqa: E402
    relative_index,
    shifted_mask,
    WindowAttention,
    Windows,
)
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

# The paper counts the ImageNet classifier too.
CLASSIFIER = 768 * 1000 + 1000


@pytest.fixture(autouse=True, scope='module')
def fixture_one_thread():
    """Compute on one thread: tensors are small here, and threads that wait for cores are slow."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def fixture_seed():
    """Draw the same numbers in every run."""
    torch.manual_seed(0)


@pytest.mark.parametrize(('side', 'window'), [(6, 3), (8, 2), (4, 4)])
def test_windows_are_cut_and_put_back(side, window):
    """Each window holds its own square of pixels, and nothing is lost."""
    windows = Windows(side, window, 5)
    x = torch.randn(2, side, side, 5)
    cut = windows.partition(x)
    assert cut.shape == (2 * windows.count, window**2, 5)
    corners = itertools.product(range(2), range(0, side, window), range(0, side, window))
    for found, (image, top, left) in zip(cut, corners):
        square = x[image, top:top + window, left:left + window]
        assert torch.equal(found, square.reshape(-1, 5))
    assert torch.equal(windows.reverse(cut), x)


def test_every_displacement_has_one_number():
    """Two pairs of pixels share a row of the bias table if and only if they lie alike."""
    window = 3
    index = relative_index(window).reshape(window**2, window**2).tolist()
    pixels = list(itertools.product(range(window), repeat=2))
    numbers = {}
    for (i, a), (j, b) in itertools.product(enumerate(pixels), repeat=2):
        numbers.setdefault((a[0] - b[0], a[1] - b[1]), set()).add(index[i][j])
    assert all(len(found) == 1 for found in numbers.values())
    assert set.union(*numbers.values()) == set(range((2 * window - 1) ** 2))


@pytest.mark.parametrize(('side', 'window'), [(6, 3), (8, 4), (9, 3)])
def test_the_mask_separates_pixels_that_were_no_neighbours(side, window):
    """In a rolled map, two pixels see each other when the roll did not change how they lie."""
    shift = window // 2
    mask = shifted_mask(side, window, shift)
    corners = itertools.product(range(0, side, window), repeat=2)
    inside = list(itertools.product(range(window), repeat=2))
    for found, corner in zip(mask, corners):
        rolled = [(corner[0] + row, corner[1] + column) for row, column in inside]
        before = [((row + shift) % side, (column + shift) % side) for row, column in rolled]
        for i, j in itertools.product(range(window**2), repeat=2):
            alike = all(
                before[i][axis] - before[j][axis] == rolled[i][axis] - rolled[j][axis]
                for axis in range(2)
            )
            assert (float(found[i, j]) == 0) == alike


@pytest.mark.parametrize('shifted', [False, True])
def test_a_pixel_reaches_its_own_window_and_no_other(shifted):
    """Changing one pixel changes what lies in its window, shifted or not, and nothing else."""
    side, window = 6, 3
    attention = WindowAttention(8, 2, side, window, shifted).eval()
    shift = window // 2 if shifted else 0

    def home(row, column):
        # Where the shifted windows are cut: the first band is 'shift' wide, the last the rest.
        return (row - shift) // window, (column - shift) // window

    x = torch.randn(1, side, side, 8)
    pixels = list(itertools.product(range(side), repeat=2))
    with torch.no_grad():
        before = attention(x)
        for row, column in [(0, 0), (0, 3), (2, 2), (5, 0), (5, 5)]:
            changed = x.clone()
            changed[0, row, column] += 1
            moved = (attention(changed) - before).abs().amax(-1)[0] > 1e-6
            expected = {pixel for pixel in pixels if home(*pixel) == home(row, column)}
            assert {pixel for pixel in pixels if moved[pixel]} == expected


def test_without_offsets_deformable_attention_is_plain_attention():
    """Points that stay on their pixels give global attention with relative position bias."""
    side, width, heads, groups = 5, 24, 6, 3
    deformable = DeformableAttention(width, heads, groups, side).eval()
    torch.nn.init.zeros_(deformable.offsets.project.weight)
    # One window as large as the map is plain attention.
    plain = WindowAttention(width, heads, side, side, shifted=False).eval()
    parts = [deformable.query, deformable.key, deformable.value]
    with torch.no_grad():
        plain.qkv.weight.copy_(torch.cat([part.weight for part in parts]))
        plain.qkv.bias.copy_(torch.cat([part.bias for part in parts]))
        plain.output.load_state_dict(deformable.output.state_dict())
        plain.bias.copy_(torch.randn_like(plain.bias))
        table = plain.bias.T.reshape(deformable.bias.shape)
        deformable.bias.copy_(table)
        x = torch.randn(2, side, side, width)
        torch.testing.assert_close(deformable(x), plain(x), atol=1e-5, rtol=1e-5)


def test_the_position_bias_follows_the_points():
    """Points one pixel to the right and two up read the table that much further."""
    side, heads, groups = 4, 2, 2
    attention = DeformableAttention(8, heads, groups, side)
    table = torch.nn.init.normal_(attention.bias).detach()
    right, down = 1, -2
    moved = reference_grid(side) + torch.tensor([right, down]) * 2 / (side - 1)
    with torch.no_grad():
        found = attention._position_bias(moved.repeat(groups, 1, 1, 1))[0]
    pixels = list(itertools.product(range(side), repeat=2))
    for (i, query), (j, key) in itertools.product(enumerate(pixels), repeat=2):
        row = query[0] - key[0] - down + side - 1
        column = query[1] - key[1] - right + side - 1
        inside = 0 <= row < 2 * side - 1 and 0 <= column < 2 * side - 1
        for head in range(heads):
            expected = float(table[head, 0, row, column]) if inside else 0.0
            assert float(found[head, i, j]) == pytest.approx(expected, abs=1e-4)


def test_points_take_the_features_of_where_they_moved():
    """With all points one pixel to the right, keys and values come from the right neighbours."""
    side, width = 4, 8
    attention = DeformableAttention(width, 2, 2, side).eval()
    torch.nn.init.zeros_(attention.bias)
    step = torch.tensor([2 / (side - 1), 0.0])
    attention.offsets = ConstantOffsets(step)
    plain = DeformableAttention(width, 2, 2, side).eval()
    plain.offsets = ConstantOffsets(torch.zeros(2))
    plain.load_state_dict(attention.state_dict())
    x = torch.randn(1, side, side, width)
    neighbours = torch.zeros_like(x)
    neighbours[:, :, :-1] = x[:, :, 1:]
    with torch.no_grad():
        # Queries stay: only what is sampled moves.
        query = plain.query(x)
        plain.query = ConstantQuery(query)
        torch.testing.assert_close(attention(x), plain(neighbours), atol=1e-5, rtol=1e-5)


class ConstantOffsets(torch.nn.Module):
    """An offset network that moves every point alike."""

    def __init__(self, offset):
        super().__init__()
        self.register_buffer('offset', offset, persistent=False)

    def forward(self, query):
        """Give (B * groups, H, W, 2)."""
        return self.offset.expand(len(query), *query.shape[2:], 2)


class ConstantQuery(torch.nn.Module):
    """A projection that answers the same whatever it is given."""

    def __init__(self, query):
        super().__init__()
        self.query = query

    def forward(self, x):
        """Give the stored queries."""
        assert x.shape == self.query.shape
        return self.query


def test_offsets_stay_in_reach():
    """However sure the offset network is, a point moves at most two pixels of the map."""
    side = 6
    attention = DeformableAttention(12, 3, 3, side)
    torch.nn.init.normal_(attention.offsets.project.weight, std=100)
    with torch.no_grad():
        offsets = attention.offsets(torch.randn(6, 4, side, side)) * (side - 1) / 2
    assert offsets.shape == (6, side, side, 2)
    assert float(offsets.abs().max()) == pytest.approx(OFFSET_RANGE, rel=1e-3)


def test_size_and_cost_are_the_papers():
    """About 29 million parameters with the classifier, and 4.6 billion multiply-adds at 224."""
    model = DAT(224).eval()
    parameters = sum(p.numel() for p in model.parameters()) + CLASSIFIER
    assert parameters == pytest.approx(29e6, rel=0.03)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 3, 224, 224))
    assert counter.get_total_flops() / 2 == pytest.approx(4.6e9, rel=0.02)


def test_mixed_precision_runs():
    """Points keep float32 coordinates under autocast, and the features hardly change."""
    model = DAT(64).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        exact = model(images)
        with torch.autocast('cpu', torch.bfloat16):
            rough = model(images)
    assert torch.cosine_similarity(exact, rough.float()).item() > 0.999


@pytest.mark.parametrize('size', [0, 32, 100, 225])
def test_other_sizes_are_refused(size):
    """Whole windows must fill every map."""
    with pytest.raises(ValueError, match=f'multiple of 32 from 64 on, found {size}'):
        DAT(size)
