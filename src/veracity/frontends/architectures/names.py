"""Names of tensors that several architectures share, in Hugging Face's spelling."""

from __future__ import annotations

__all__ = [
    "AT",
    "ENDS",
    "FC",
    "FOUR_NORMS",
    "GATED",
    "H_TO_4H",
    "JOINED",
    "LLAMA",
    "MASKS",
    "NEOX_AT",
    "NORMS",
    "OPT_AT",
    "QKVO",
    "QK_NORMS",
    "TWO_NORMS",
    "WTE",
    "Names",
    "of_h",
]

Names = dict[str, str | tuple[str, ...]]

AT = "model.layers.{i}."
NORMS = {"attn_norm": AT + "input_layernorm", "mlp_norm": AT + "post_attention_layernorm"}
QKVO = {p: AT + f"self_attn.{p}_proj" for p in "qkvo"}
GATED = {p: AT + f"mlp.{p}_proj" for p in ("gate", "up", "down")}
ENDS = {"embed": "model.embed_tokens", "final_norm": "model.norm", "head": "lm_head"}
LLAMA = {**ENDS, **NORMS, **QKVO, **GATED}
QK_NORMS = {f"{p}_norm": AT + f"self_attn.{p}_norm" for p in "qk"}
JOINED = {"gate_up": AT + "mlp.gate_up_proj", "down": AT + "mlp.down_proj"}
FOUR_NORMS = {
    "attn_norm": AT + "input_layernorm", "attn_post": AT + "post_attention_layernorm",
    "mlp_norm": AT + "pre_feedforward_layernorm", "mlp_post": AT + "post_feedforward_layernorm",
}  # fmt: skip
MASKS = (".rotary_emb.inv_freq", ".bias_mask", ".masked_bias", "attn.bias", "attention.bias",
          ".causal_mask")  # fmt: skip


def of_h(**parts: str | tuple[str, ...]) -> Names:
    """Names of a model whose layers are ``transformer.h.{i}``."""
    at = "transformer.h.{i}."
    return {
        part: at + name if isinstance(name, str) else tuple(at + n for n in name)
        for part, name in parts.items()
    }


NEOX_AT = "gpt_neox.layers.{i}."
OPT_AT = "model.decoder.layers.{i}."
FC = {"up": AT + "mlp.fc1", "down": AT + "mlp.fc2"}
WTE = {"embed": "transformer.wte", "final_norm": "transformer.ln_f", "head": "lm_head"}
TWO_NORMS = of_h(attn_norm="ln_1", mlp_norm="ln_2")
H_TO_4H: Names = {
    "embed": "transformer.word_embeddings", "final_norm": "transformer.ln_f", "head": "lm_head",
    **of_h(qkv="self_attention.query_key_value", o="self_attention.dense",
           up="mlp.dense_h_to_4h", down="mlp.dense_4h_to_h"),
}  # fmt: skip
