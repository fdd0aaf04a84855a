"""From scores to boards: `scores` checks what may be compared, `results` computes, the others show."""
