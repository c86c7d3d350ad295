"""Binary images, MNIST first: where they come from, how alike two sets of them are, and who takes them for
digits.

``images`` and ``data`` hold the sets, ``quality`` and ``nearest`` the measures that need no model, ``judge``
and ``network`` the classifier, ``negatives`` what it learns to reject. Nothing here imports torch until a
judge is trained or asked.
"""
