"""Pages of HTML that need nothing besides themselves: elements, figures as SVG, pictures as PNG, and their style."""
