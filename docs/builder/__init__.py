"""Makes the documentation site: `python -m docs.builder [FOLDER]`, by default into `site/`.

The pages are those of the repository, as GitHub shows them, and pages generated from the code. On
the site alone a page shows

    <!-- picture: NAME -->         a picture from the sample data, of `pictures.PICTURES`
    <!-- screenshot: COMMAND -->   what the command prints on a terminal
    <!-- site: MARKDOWN -->        words that only the site needs, such as links to generated pages
"""
