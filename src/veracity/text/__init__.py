"""Text to token ids, by definitions that prover and verifier share.

A model reads token ids, a person reads text, and one text has exponentially many spellings in ids.
Whoever may choose among them may choose the answer. So there is one spelling: what
:meth:`Encoder.encode` gives. Standard library only.
"""

from veracity.text.bytelevel import ByteLevel
from veracity.text.encoder import Encoder, Rule
from veracity.text.pieces import Pieces
from veracity.text.sentencepiece import SentencePiece

__all__ = ["ByteLevel", "Encoder", "Pieces", "Rule", "SentencePiece"]
