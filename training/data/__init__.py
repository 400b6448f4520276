"""Labelled texts: public sets, tables, the calls corpus, their forms and their leakage."""
