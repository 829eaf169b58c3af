// Of this service alone: nothing is validated elsewhere, and links lead to an operation.
SwaggerUIBundle({ url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null });
