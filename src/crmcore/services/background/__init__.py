"""What is done beside the transactions of the shop: timers, debts and what comes after."""
