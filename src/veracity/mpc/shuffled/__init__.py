"""The `shuffled` mode: nonlinearities on values in the clear, in an order the evaluator lacks."""
