"""From scores to boards: `sources` reads, `scores` checks what may be compared, `results` computes, the others show."""
