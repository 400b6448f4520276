"""What recognizers write: one small module for each form, and what they share.

A form of JSON is a function that turns one document into turns; see `worker.forms.json_form`. A form of lines is a
function that turns numbered lines into turns; see `worker.forms.line_form`. `worker.forms.known` lists them all.
"""
