"""Publishing: from notebooks to executed notebooks, from those to pages, and from pages to the book.

- :mod:`rbmlib.publish.project` : a clone of the project and where things lie in it;
- :mod:`rbmlib.publish.parameters` : what a notebook's parameters are and how given values become them;
- :mod:`rbmlib.publish.notebook` : executes a notebook so that a rerun gives the same bytes;
- :mod:`rbmlib.publish.freshness` : which executed notebooks are out of date, and why;
- :mod:`rbmlib.publish.page` : one executed notebook as one HTML file;
- :mod:`rbmlib.publish.crossref`, :mod:`rbmlib.publish.mathjax` : its references and its equations;
- :mod:`rbmlib.publish.catalogue` : what there is to run;
- :mod:`rbmlib.publish.run` : one notebook with chosen parameters;
- :mod:`rbmlib.publish.build` : the whole book;
- :mod:`rbmlib.publish.provenance` : the sentence that says which profile made a page.
"""
