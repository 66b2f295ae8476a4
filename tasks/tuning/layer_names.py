"""Names of the modules of attention and feed-forward in the architectures that are known here."""

ATTENTION = {
    *("self_attn", "encoder_attn", "cross_attn", "attn", "crossattention", "attention"),
    *("SelfAttention", "LocalSelfAttention", "TransientGlobalSelfAttention", "EncDecAttention"),
}
"""Modules whose output is that of an attention, before it is added to the residual stream."""

FEED_FORWARD = {"mlp", "DenseReluDense", "fc2"}
"""Modules whose output is that of a feed-forward block, before it is added to the residual stream."""

ATTENTION_LAYERS = ATTENTION | {"self_attention", "linear_attn"}
"""Modules whose linear layers are those of an attention. Some of them add the residual stream themselves."""
