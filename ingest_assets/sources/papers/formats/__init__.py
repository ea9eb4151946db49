"""Files of papers to articles: JATS XML, PDF, Markdown and text, parsed in a confined process."""
