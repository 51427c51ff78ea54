"""What spans several transactions: write down, ask the carrier outside of any, write down what came of it."""
