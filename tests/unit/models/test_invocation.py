"""The closed form of attention against the slow one."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from headscribe.models.invocation import Invocation
from tests.oracles import attention as oracle


@given(
    length=st.integers(1, 7),
    groups=st.sampled_from([1, 2, 4]),
    causal=st.booleans(),
    softcap=st.sampled_from([None, 0.7, 20.0]),
    sinks=st.booleans(),
    bias=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_weights_and_output(length, groups, causal, softcap, sinks, bias, seed):
    random = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(shape, generator=random) * 2

    module = nn.Module()
    module.is_causal = causal
    options = {
        "softcap": softcap,
        "s_aux": draw(4) if sinks else None,
        "position_bias": draw(1, 4, length, length) if bias else None,
    }
    query, key = draw(2, 4, length, 3), draw(2, groups, length, 3)
    value = draw(2, groups, length, 5)
    invocation = Invocation(module, query, key, value, None, 0.6, 0.0, options, False)
    weights = invocation.weights()
    output = invocation.output(weights)
    assert weights.shape == (2, 4, length, length)
    assert output.shape == (2, length, 4, 5)
    for text in range(2):
        for head in range(4):
            group = head * groups // 4
            expected = oracle.attention(
                query[text, head].double().numpy(),
                key[text, group].double().numpy(),
                0.6,
                oracle.causal() if causal else oracle.both_ways(),
                softcap,
                options["position_bias"][0, head].double().numpy() if bias else None,
                float(options["s_aux"][head]) if sinks else None,
            )
            np.testing.assert_allclose(weights[text, head].numpy(), expected, atol=3e-6)
            np.testing.assert_allclose(
                output[text, :, head].numpy(), expected @ value[text, group].numpy(), atol=3e-5
            )


def test_half_precision_is_widened():
    half = torch.randn(1, 2, 3, 4, dtype=torch.bfloat16)
    call = Invocation(nn.Module(), half, half, half, None, 1.0, 0.0, {}, False)
    assert call.widened().weights().dtype == torch.float32
    assert call.output(call.widened().weights()).dtype == torch.bfloat16
    wide = Invocation(nn.Module(), half.double(), half, half, None, 1.0, 0.0, {}, False)
    assert wide.widened() is wide
