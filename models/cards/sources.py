"""What several models were trained on."""

PHOTOS = (
    "BSDS500 train and test, 332 (licence not stated)",
    "CID22, 97 (CC BY-SA 4.0)",
    "GB82, 19 (CC0 1.0)",
    "CLIC 2025, 23 (Unsplash License)",
)
