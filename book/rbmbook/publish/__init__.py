"""Publishing: from notebooks to executed notebooks, from those to pages, and from pages to the book.

- :mod:`rbmbook.publish.project` : a clone of the project and where things lie in it;
- :mod:`rbmbook.publish.parameters` : what a notebook's parameters are and how given values become them;
- :mod:`rbmbook.publish.notebook` : executes a notebook so that a rerun gives the same bytes;
- :mod:`rbmbook.publish.freshness` : which executed notebooks are out of date, and why;
- :mod:`rbmbook.publish.page` : one executed notebook as one HTML file;
- :mod:`rbmbook.publish.crossref`, :mod:`rbmbook.publish.mathjax` : its references and its equations;
- :mod:`rbmbook.publish.catalogue` : what there is to run;
- :mod:`rbmbook.publish.run` : one notebook with chosen parameters;
- :mod:`rbmbook.publish.build` : the whole book;
- :mod:`rbmbook.publish.provenance` : the sentence that says which profile made a page.
"""
