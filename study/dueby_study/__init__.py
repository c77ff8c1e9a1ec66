"""The study "On Serving Image Classification Models" repeated on any machine. Nothing of the product imports this
package.

    stages, study    what is measured, in which order, and how a study continues
    measurements/    one file for each stage
    answers          what the study's two optimization models answer
    summary          all numbers, from the raw rows
    figures/         drawn from the numbers
    pages/           the HTML page and its text as Markdown
    warmup/          which features predict the time of the first mini-batch, and W between measured sizes
"""
