"""Drawing: one style, inline SVG that follows the page, a slider, and panels that several studies have."""
