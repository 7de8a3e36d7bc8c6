"""A server over HTTP in OpenAI's wire format: answers of a committed model.

``openai`` knows the format and no model, ``delivery`` turns token ids into the text that is sent,
``model`` evaluates, ``limits`` says who may ask how often, ``app`` brings them together and
``serve`` listens.
"""
