"""A server over HTTP in OpenAI's wire format: answers of a committed model.

``openai`` knows the format and no model, ``model`` and ``evaluator`` evaluate, ``desk`` signs
receipts, ``proofs`` takes orders for proofs that each ``worker`` finds in ``jobs``, ``limits`` says
who may ask how often, ``app`` brings them together and ``serve`` listens.
"""
