"""What a browser is asked about a page: expressions whose answers are empty, or large enough, if the page is right."""

# Words that stick out of the page on either side, which scrollWidth doesn't always tell: inside an SVG it doesn't.
CUT_OFF = """
    [...document.querySelectorAll('text, p, td, th, dt, dd, h1, h2, h3, b')]
        .filter(e => !e.closest('.scroll'))
        .filter(e => { const r = e.getBoundingClientRect(); return r.width && (r.left < 0 || r.right > innerWidth) })
        .map(e => e.textContent)
"""

# Words of a chart that are printed over each other. A few pixels of a letter's box are empty.
OVERPRINTED = """
    [...document.querySelectorAll('svg.plot')].flatMap(chart => {
        const words = [...chart.querySelectorAll('text')]
            .map(e => [e.textContent, e.getBoundingClientRect()]).filter(([_, r]) => r.width);
        return words.flatMap(([one, a], i) => words.slice(i + 1)
            .filter(([_, b]) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
                && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3)
            .map(([other]) => `${one} | ${other}`));
    })
"""

# WCAG's contrast of an element's words with what is behind them.
CONTRAST = """
(() => {
    const light = rgb => rgb.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
        .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const paint = e => getComputedStyle(e).backgroundColor;
    const behind = e => /, 0\\)$/.test(paint(e)) ? behind(e.parentElement) : paint(e);
    const e = document.querySelector('%s');
    const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
})()
"""

# Blocks of a calendar that lie on each other, and numbers of theirs that are cut. Neighbours share a pixel's edge.
BAD_BLOCKS = """
    [...document.querySelectorAll('.calendar .block')].map(e => [e, e.getBoundingClientRect()])
        .flatMap(([one, a], i, all) => all.slice(i + 1)
            .filter(([_, b]) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
                && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1)
            .map(([other]) => `${one.title} | ${other.title}`))
        .concat([...document.querySelectorAll('.calendar .block b')]
            .filter(e => e.getBoundingClientRect().width
                && e.getBoundingClientRect().right > e.parentElement.getBoundingClientRect().right)
            .map(e => `the number ${e.textContent} is cut`))
"""
